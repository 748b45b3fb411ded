-- What a spec of an application needs: `local test = require "host.test"`, in files that
-- `lunacast test` runs by busted.
--
--   local app = test.app()
--   local view = app:stream "/stream/a"
--   app.clock:advance(30)
--
-- An app is the application served by a process of its own on a unix socket in a folder of its own:
-- no port, nothing shared, and what a spec does to it (a crash, a frozen process, a moved clock)
-- it does to that one. It starts in some twenty milliseconds. Rejected: the application inside the
-- process of the spec, where a script that loops would stop its own test, and nodes could not be
-- killed.
--
-- With `lunacast test --url http://127.0.0.1:3000` the same specs run against a server that is
-- there already; what only an app of our own can do raises then.
local http = require "host.test.http"
local process = require "host.test.process"
local proxy = require "host.test.proxy"
local redis = require "host.test.redis"
local server = require "host.test.server"
local wait = require "host.test.wait"
local wire = require "host.test.wire"

local test = {
  folder = ".", -- of the application; set by `lunacast test`
  url = nil, ---@type string|nil of a server that is there already
  seed = nil, ---@type integer|nil of math.random, set by `lunacast test`
  wait = wait,
  wire = wire,
}

---@class test.Options
---@field files? table<string, string> files of the application, instead of its folder: path -> text
---@field folder? string the application's folder
---@field set? table<string, any> settings
---@field env? table<string, string|false>
---@field workers? integer 1 when absent, so that things happen in one order
---@field redis? table a Redis of test.redis, or a proxy before one
---@field args? string[] more arguments of `lunacast run`


-- busted's `finally` is there inside `it` only.
local function at_end(fn)
  local finally = rawget(_G, "finally")
  if finally then pcall(finally, fn) end
end


local function given_server()
  local host, port = test.url:match "^http://%[?([^%]/]-)%]?:(%d+)/?$"
  if not host then error("--url wants http://ADDRESS:PORT, got " .. test.url, 0) end
  local address = { host = host, port = math.tointeger(port) }
  return setmetatable({ url = test.url, address = address }, { __index = function(_, key)
    local method = server.methods[key]
    if method and server.REMOTE[key] then return method end
    if method or key == "clock" then
      error(("app:%s needs an app of the spec's own; this run is against %s"):format(key,
        test.url), 2)
    end
  end })
end


local function settings(options)
  local set = { ["test.clock"] = true, watch = false, ["password.ln"] = 10 }
  if options.redis then set["redis.url"] = options.redis.url end
  for name, value in pairs(options.set or {}) do set[name] = value end
  return set
end


--- Starts the application; it ends with the `it` that started it, which fails when something was
--- left behind.
---@param options? test.Options
function test.app(options)
  options = options or {}
  if test.url then return given_server() end
  local data = server.folder()
  local app = server.start {
    files = options.files, folder = not options.files and (options.folder or test.folder) or nil,
    data = data, listen = { "unix:" .. data .. "/app.sock" }, workers = options.workers or 1,
    set = settings(options), env = options.env, args = options.args,
  }
  process.forget_folder(data)
  at_end(function()
    if app.process:running() then app:stop() end
  end)
  return app
end


--- Several nodes of one application, on one Redis.
---@param count integer
---@param options? test.Options
---@return table[] apps
function test.nodes(count, options)
  options = options or {}
  local own = {}
  for name, value in pairs(options) do own[name] = value end
  own.redis = own.redis or test.redis()
  local nodes = {}
  for i = 1, count do nodes[i] = test.app(own) end
  return nodes
end


--- A Redis of the spec's own (Debian's redis-server must be there): `down`, `up`, `freeze`, `thaw`,
--- `command`, and `proxy()`, a way to it that can be disturbed.
function test.redis(options)
  local own = redis.start(options)
  at_end(function()
    if own.process:running() then own:down() end
  end)
  return own
end


--- A way to a server that can be disturbed; see host.test.proxy.
test.proxy = proxy.new


--- Bytes on the wire to an app: `c:send`, `c:read_line`, `c:pause`; `c:record()` keeps a
--- transcript.
function test.connect(app)
  return http.connect(app)
end

-- Assertions ----------------------------------------------------------------------------------

local function is_picture(text)
  if type(text) ~= "string" then return false end
  return text:find "^%s*<svg[^>]*/>%s*$" ~= nil
    or text:find "^%s*<svg[%s>]" ~= nil and text:find "</svg>%s*$" ~= nil
end


local function define(assert_module)
  local say = require "say"
  local function add(name, check, positive, negative)
    say:set("assertion." .. name .. ".positive", positive)
    say:set("assertion." .. name .. ".negative", negative)
    assert_module:register("assertion", name, check, "assertion." .. name .. ".positive",
      "assertion." .. name .. ".negative")
  end
  add("status", function(_, arguments)
    return type(arguments[2]) == "table" and arguments[2].status == arguments[1]
  end, "Expected the status %s of the answer:\n%s", "Expected another status than %s:\n%s")
  add("svg", function(_, arguments)
    return is_picture(arguments[1])
  end, "Expected a whole SVG picture, got:\n%s", "Expected no SVG picture, got:\n%s")
  add("recovered", function(_, arguments)
    return type(arguments[1]) == "table" and arguments[1].recovered == true
  end, "Expected that nothing was missed, got:\n%s", "Expected that something was missed, got:\n%s")
end

local there, luassert = pcall(require, "luassert")
if there then define(luassert) end

return test
