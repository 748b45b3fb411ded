-- A server for a spec: the real binary, on a free port, in an application folder and with a data
-- folder of its own.
--   local app = server.start { files = { ["lua/routes/hi.lua"] = "return { path = '/hi', ... }" } }
--   assert.equal("hi", app:get("/hi").body)
--   app:stop()
-- The debug build looks for what was left alive and exits non-zero, so `stop` asserts exit code 0.
local http = require "host.test.http"
local json = require "host.json"
local programs = require "host.process"
local process = require "host.test.process"
local wait = require "host.test.wait"
local ws = require "host.test.ws"

local server = { BINARY = programs.executable() }
local Server = {}


function Server.__index(self, key)
  if key ~= "clock" then return Server[key] end
  return setmetatable({ socket = self.data .. "/control.sock" }, Server.Clock)
end


local function absolute(path)
  return path:sub(1, 1) == "/" and path or programs.folder() .. "/" .. path
end


--- A new folder that goes away with the test run.
function server.folder()
  local made = process.run("/usr/bin/mktemp", { "-d", "-t", "lunacast-spec-XXXXXX" },
    { env = { TMPDIR = os.getenv "TMPDIR" or "/tmp" } })
  return assert(made.out:match "^(/.-)\n$", made.err)
end


-- Makes the folders of a path, as far as they are missing.
local function make_folders(path)
  process.run("/bin/mkdir", { "-p", path })
end


--- Writes files below a folder: { ["lua/routes/a.lua"] = "return ..." }. Each is renamed to where
--- it belongs, as editors do it: a server that looks meanwhile finds the old one or the new one.
function server.write(folder, files)
  local new = folder .. ".new"
  for name, text in pairs(files) do
    local path, below = folder .. "/" .. name, name:match "^(.*)/"
    if below then make_folders(folder .. "/" .. below) end
    local file = assert(io.open(new, "wb"))
    file:write(text)
    file:close()
    assert(os.rename(new, path))
  end
end


local function arguments(self, options)
  local args = { "run", self.folder, "--data", self.data }
  for _, address in ipairs(options.listen or { "127.0.0.1:0" }) do
    args[#args + 1], args[#args + 2] = "--listen", address
  end
  args[#args + 1], args[#args + 2] = "--workers", tostring(options.workers or 2)
  for name, value in pairs(options.set or {}) do
    args[#args + 1], args[#args + 2] = "--set", ("%s=%s"):format(name, tostring(value))
  end
  for _, word in ipairs(options.args or {}) do args[#args + 1] = word end
  return args
end


local function read_addresses(self)
  self.urls = {}
  for url in self.process.out:gmatch "lunacast ready on (%S+)\n" do
    self.urls[#self.urls + 1] = url
  end
  self.url = self.urls[1]
  if not self.url then return false end
  local host, port = self.url:match "^https?://%[?([^%]/]-)%]?:(%d+)$"
  self.port = tonumber(port)
  self.address = port and { host = host, port = self.port }
    or { path = self.url:match "^unix:(.*)" }
  return true
end


--- Starts without waiting for the ready line: for servers that are expected to refuse.
---@param options? server.Options
function server.launch(options)
  options = options or {}
  local self = setmetatable({ given = options }, Server)
  self.folder = options.folder or server.folder()
  self.data = options.data or self.folder .. "/data"
  if options.files then server.write(self.folder, options.files) end
  self.process = process.spawn(absolute(options.binary or server.BINARY), arguments(self, options),
    { env = options.env })
  return self
end


---@class server.Options
---@field files? table<string, string> the application: path -> text
---@field folder? string an application folder that exists
---@field data? string
---@field workers? integer 2 when absent
---@field listen? string[]
---@field set? table<string, any> settings
---@field args? string[] more arguments
---@field env? table<string, string|false>
---@field binary? string


--- Waits until a launched server accepts.
function server.await(self)
  wait.till(function() return read_addresses(self) or not self.process:running() end,
    "the ready line", 30)
  if not self.url then
    error(("the server did not start (exit code %s):\n%s"):format(self.process.code,
      self.process.err), 3)
  end
  return self
end


--- Starts a server and waits until it accepts.
---@param options? server.Options
function server.start(options)
  return server.await(server.launch(options))
end


--- The same application and data on a new process, for restarts; the port may differ.
function Server:restart()
  local options = {}
  for name, value in pairs(self.given) do options[name] = value end
  options.files, options.folder, options.data = nil, self.folder, self.data
  return server.start(options)
end


for _, method in ipairs { "get", "put", "post", "patch", "delete", "head", "options" } do
  --- app:get(path, options), app:put(...): one request on a connection of its own.
  Server[method] = function(self, path, options)
    return http.request(self, method:upper(), path, options)
  end
end


--- A GET with a JSON answer.
function Server:json(path, options)
  return self:get(path, options):json()
end


function Server:connect()
  return http.connect(self)
end


--- A live viewer: `view:next()` is the newest picture. See host.test.http.
function Server:stream(path, options)
  return http.pictures(self, path, options)
end


--- Server-sent events: `events:next()` is { event, id, data }.
function Server:sse(path, options)
  return http.events(self, path, options)
end


--- A WebSocket: `ws:send(text)`, `ws:next()`; see host.test.ws.
---@param path string
---@param headers? table<string, string>
function Server:ws(path, headers)
  return ws.connect(self, path, headers)
end


--- Time passes for this server: its timers, expiries and keep-alives come as if so many seconds
--- were over. Needs the setting test.clock, which host.test's apps have.
Server.Clock = {}
Server.Clock.__index = Server.Clock

---@param seconds number
function Server.Clock:advance(seconds)
  local res = http.request({ address = { path = self.socket } }, "POST", "/clock",
    { json = { advance = seconds } })
  if res.status ~= 204 then error("the clock stays: " .. res.body, 2) end
end


--- The lines of the log so far, as tables; lines that are no JSON as { raw = line }.
function Server:log()
  wait.settle()
  local lines = {}
  for line in self.process.err:gmatch "([^\n]+)\n" do
    lines[#lines + 1] = json.decode(line) or { raw = line }
  end
  return lines
end


--- Waits for a line of the log that contains `text`, as it stands there (JSON).
function Server:logged(text, seconds)
  return wait.till(function()
    for line in self.process.err:gmatch "([^\n]+)\n" do
      if line:find(text, 1, true) then return json.decode(line) or { raw = line } end
    end
  end, ("%q in the log"):format(text), seconds)
end


--- A number from /metrics: app:metric "lunacast_viewers".
function Server:metric(name)
  local text = "\n" .. self:get("/metrics").body
  return tonumber(text:match("\n" .. name:gsub("[{}%-%.\"]", "%%%0") .. " ([%d.e+-]+)\n"))
end


--- SIGTERM, then the ordered end; fails the spec unless the exit code is 0.
function Server:stop(seconds)
  self.process:kill "sigterm"
  local code, signal = self.process:wait(seconds or 40)
  if code ~= 0 or signal ~= 0 then
    error(("the server ended with code %d, signal %d:\n%s"):format(code, signal,
      self.process.err), 2)
  end
end


--- kill -9.
function Server:crash()
  self.process:kill "sigkill"
  self.process:wait()
end


--- Freezes and continues the process.
function Server:freeze()
  self.process:kill "sigstop"
end


function Server:thaw()
  self.process:kill "sigcont"
end

server.methods = Server
-- What works with a server that somebody else has started.
server.REMOTE = {
  get = true, put = true, post = true, patch = true, delete = true, head = true, options = true,
  json = true, connect = true, metric = true, stream = true, sse = true, ws = true,
}

return server
