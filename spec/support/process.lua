-- Processes that specs start: their output, their end, and that none outlives its spec.
local uv = require "luv"
local wait = require "spec.support.wait"

local process = {}
local Process = {}
Process.__index = Process
local alive = {} -- pid -> Process
local folders = {} -- to be removed at the end


local function collect(self, name)
  local pipe = uv.new_pipe(false)
  self[name] = ""
  return pipe, function()
    pipe:read_start(function(_, data)
      if data then
        self[name] = self[name] .. data
      else
        self.open = self.open - 1
        pipe:close()
      end
    end)
  end
end


-- { NAME = "value" or false } over the environment of this process.
local function environment(changes)
  local list, values = {}, uv.os_environ()
  for name in pairs(values) do
    if name:find "^LUNACAST_" or name:find "^JWT_" or name == "REDIS_URL" or name == "DATABASE_URL" then
      values[name] = nil
    end
  end
  for name, value in pairs(changes or {}) do values[name] = value or nil end
  for name, value in pairs(values) do list[#list + 1] = name .. "=" .. value end
  return list
end


--- Starts a program. Its output is collected in `out` and `err`.
---@param command string
---@param args string[]
---@param options? { env?: table<string, string|false>, cwd?: string }
function process.spawn(command, args, options)
  options = options or {}
  local self = setmetatable({ open = 2, command = command }, Process)
  local out, read_out = collect(self, "out")
  local err, read_err = collect(self, "err")
  local handle, pid
  handle, pid = uv.spawn(command, {
    args = args,
    env = environment(options.env),
    cwd = options.cwd,
    stdio = { nil, out, err },
  }, function(code, signal)
    self.code, self.signal = code, signal
    alive[pid] = nil
    handle:close()
  end)
  if not handle then error(("cannot start %s: %s"):format(command, pid), 2) end
  self.pid = pid
  alive[pid] = self
  read_out()
  read_err()
  return self
end


--- Sends a signal: "sigterm", "sigkill", "sigstop" ...
---@param signal string
function Process:kill(signal)
  if alive[self.pid] then uv.kill(self.pid, signal) end
end


--- Waits for the end; returns the exit code and the signal (0: none).
---@param seconds number|nil
---@return integer, integer
function Process:wait(seconds)
  wait.till(function() return self.code and self.open <= 0 end,
    ("the end of %s (pid %d)"):format(self.command, self.pid), seconds)
  return self.code, self.signal
end


function Process:running()
  uv.run "nowait"
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
  for pid, self in pairs(alive) do
    uv.kill(pid, "sigcont")
    uv.kill(pid, "sigkill")
    pcall(self.wait, self)
  end
  for i, folder in ipairs(folders) do
    folders[i] = nil
    pcall(process.run, "rm", { "-rf", folder })
  end
end

--- Bytes of memory that it has resident.
function Process:memory()
  for line in io.lines(("/proc/%d/status"):format(self.pid)) do
    local kib = line:match "^VmRSS:%s*(%d+)"
    if kib then return tonumber(kib) * 1024 end
  end
end

return process
