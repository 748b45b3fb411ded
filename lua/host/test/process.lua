-- Processes that specs start: their output, their end, and that none outlives its spec.
local host = require "host.process"
local wait = require "host.test.wait"

local process = {}
local Process = {}
Process.__index = Process
local alive = {} -- pid -> Process
local folders = {} -- to be removed at the end

local SIGNALS = {
  sighup = 1, sigint = 2, sigquit = 3, sigkill = 9, sigusr1 = 10, sigusr2 = 12, sigpipe = 13,
  sigterm = 15, sigchld = 17, sigcont = 18, sigstop = 19,
}


-- { NAME = "value" or false } over the environment of this process, which must not leak settings
-- into what is tested.
local function environment(changes)
  local list, values = {}, host.environment()
  for name in pairs(values) do
    if name:find "^LUNACAST_" or name:find "^JWT_" or name == "REDIS_URL"
      or name == "DATABASE_URL" then
      values[name] = nil
    end
  end
  for name, value in pairs(changes or {}) do values[name] = value or nil end
  for name, value in pairs(values) do list[#list + 1] = name .. "=" .. value end
  return list
end


-- What has come and how it ended; the fields out, err, code, signal are as of the last look.
local function look(self)
  if not self.handle then return end
  local out, err = self.handle:take()
  self.texts.out, self.texts.err = self.texts.out .. out, self.texts.err .. err
  local code, signal, open = self.handle:status()
  self.code, self.signal, self.open = code, signal, open
  if code then alive[self.pid] = nil end
  if code and not open then
    self.handle:close()
    self.handle = nil
  end
end


function Process.__index(self, key)
  if key == "out" or key == "err" then
    look(self)
    return self.texts[key]
  end
  return Process[key]
end


--- Starts a program. Its output is collected in `out` and `err`.
---@param command string
---@param args string[]
---@param options? { env?: table<string, string|false>, cwd?: string }
function process.spawn(command, args, options)
  options = options or {}
  local self = setmetatable({ command = command, texts = { out = "", err = "" }, open = true },
    Process)
  local handle, message = host.start(command, args, environment(options.env), options.cwd)
  if not handle then error(message, 2) end
  self.handle, self.pid = handle, handle:pid()
  alive[self.pid] = self
  return self
end


--- Sends a signal: "sigterm", "sigkill", "sigstop" ...
---@param signal string
function Process:kill(signal)
  local number = SIGNALS[signal] or error("no signal is named " .. signal, 2)
  if alive[self.pid] and self.handle then self.handle:kill(number) end
end


--- Bytes of memory that it has resident.
---@return integer|nil
function Process:memory()
  for line in io.lines(("/proc/%d/status"):format(self.pid)) do
    local kib = line:match "^VmRSS:%s*(%d+)"
    if kib then return math.tointeger(kib) * 1024 end
  end
end


--- Waits for the end; returns the exit code and the signal (0: none).
---@param seconds number|nil
---@return integer, integer
function Process:wait(seconds)
  wait.till(function()
    look(self)
    return self.code and not self.open
  end, ("the end of %s (pid %d)"):format(self.command, self.pid), seconds)
  return self.code, self.signal
end


function Process:running()
  wait.settle()
  look(self)
  return self.code == nil
end


--- Runs a program to its end; returns the Process, with code, out and err.
function process.run(command, args, options)
  local self = process.spawn(command, args, options)
  self:wait(options and options.seconds)
  return self
end


--- A folder that goes away when the runner ends.
---@param folder string
function process.forget_folder(folder)
  folders[#folders + 1] = folder
end


--- Ends everything that is still alive; the runner calls it last.
function process.kill_all()
  for _, self in pairs(alive) do
    self:kill "sigcont"
    self:kill "sigkill"
    pcall(self.wait, self)
  end
  for i, folder in ipairs(folders) do
    folders[i] = nil
    pcall(process.run, "rm", { "-rf", folder })
  end
end

return process
