-- A Redis of a spec's own, which it may stop, freeze and start again.
--   local redis = redis_server.start()
--   local app = server.start { set = { ["redis.url"] = redis.url } }
-- `proxy` puts one of host.test.proxy before it, to delay, drop and cut what passes.
-- `redis_server.shared()` is the URL of the one that ./test has started, for specs that only need
-- one; such specs use names of their own.
local process = require "host.test.process"
local proxy = require "host.test.proxy"
local server = require "host.test.server"
local wait = require "host.test.wait"
local wire = require "host.test.wire"

local redis = {}
local Redis = {}
Redis.__index = Redis


local function answers(self)
  local c = wire.connect(self.address)
  if not c then return false end
  if self.options.password then c:send(("AUTH %s\r\n"):format(self.options.password)) end
  c:send "PING\r\n"
  local line = c:read_line()
  if self.options.password then line = c:read_line() end
  c:close()
  return line == "+PONG"
end


--- Starts the process and waits until it answers.
function Redis:up()
  local args = { "--save", "", "--appendonly", "no", "--dir", self.folder }
  if self.options.unix then
    args[#args + 1], args[#args + 2] = "--port", "0"
    args[#args + 1], args[#args + 2] = "--unixsocket", self.address.path
  else
    args[#args + 1], args[#args + 2] = "--port", tostring(self.port)
    args[#args + 1], args[#args + 2] = "--bind", "127.0.0.1"
  end
  if self.options.password then
    args[#args + 1], args[#args + 2] = "--requirepass", self.options.password
  end
  for _, word in ipairs(self.options.args or {}) do args[#args + 1] = word end
  self.process = process.spawn("redis-server", args)
  wait.till(function() return not self.process:running() or answers(self) end, "redis-server")
  if not self.process:running() then
    error("redis-server did not start:\n" .. self.process.out .. self.process.err, 2)
  end
  return self
end


---@param options? { unix?: boolean, password?: string, args?: string[] }
function redis.start(options)
  local self = setmetatable({ options = options or {} }, Redis)
  self.folder = server.folder()
  local secret = self.options.password and (":%s@"):format(self.options.password) or ""
  if self.options.unix then
    self.address = { path = self.folder .. "/redis.sock" }
    self.url = "unix:" .. self.address.path
  else
    self.port = wire.free_port()
    self.address = { port = self.port }
    self.url = ("redis://%s127.0.0.1:%d"):format(secret, self.port)
  end
  return self:up()
end


--- The shared one's URL; one of the spec file's own where ./test is not around.
function redis.shared()
  local url = os.getenv "SPEC_REDIS_URL"
  if url then return url end
  redis.own = redis.own or redis.start()
  return redis.own.url
end


--- Ends it at once, as a crash does; data is lost.
function Redis:down()
  self.process:kill "sigcont"
  self.process:kill "sigkill"
  self.process:wait()
end


--- Stops answering, without closing anything.
function Redis:freeze()
  self.process:kill "sigstop"
end


function Redis:thaw()
  self.process:kill "sigcont"
end


--- A way to it that can be disturbed.
---@return table proxy of host.test.proxy, with `url`
function Redis:proxy()
  local way = proxy.new(self.address)
  way.url = ("redis://127.0.0.1:%d"):format(way.port)
  return way
end


--- Runs a command by redis-cli and returns what it prints.
function Redis:command(...)
  local args = self.options.unix and { "-s", self.address.path } or { "-p", tostring(self.port) }
  if self.options.password then args[#args + 1], args[#args + 2] = "-a", self.options.password end
  for _, word in ipairs { ... } do args[#args + 1] = tostring(word) end
  return (process.run("redis-cli", args).out:gsub("\n$", ""))
end

return redis
