-- Runs once per VM, while it is built: loads the application and returns what C calls.
--
--   exchange -> dispatch -> router -> middleware -> handler -> response -> C
--                   \-- raised --> failed -> response -> C
--
-- Nothing here waits at load. A wrong file fails the load with its name, and then the VM that
-- served before goes on serving.
local config = require "host.config"
local describe = require "web.describe"
local errors = require "web.errors"
local failure = require "web.failure"
local gateway = require "web.gateway"
local hooks = require "web.hooks"
local https = require "web.https"
local json = require "host.json"
local loader = require "web.loader"
local middleware = require "web.middleware"
local news = require "web.news"
local plugins = require "web.plugins"
local request = require "web.request"
local routes = require "web.routes"
local sockets = require "web.ws"
local sse = require "web.sse"
local topics = require "web.topics"
local verify = require "web.verify"

local app = config.app or {}
plugins.load()

local function wrap(handler, route, origin, method)
  local name = method .. " " .. tostring(route.path)
  local checked = describe.wrap(handler, route.describe and route.describe[method], name, origin)
  local inner = middleware.wrap(route.middleware, checked, origin)
  return https.wrap(plugins.wrap(middleware.wrap(app.middleware, inner, "config.lua")))
end

local error_writers = {} -- route.errors by path

local function add_route(route, origin)
  if route.errors then error_writers[route.path] = route.errors end
  return routes:add(route, origin, wrap)
end

loader.routes("routes", add_route)
plugins.add_routes(add_route)
for _, route in ipairs((gateway.routes(config.section "gateway"))) do
  add_route(route, "config.lua")
end
if config.get "dev" then
  loader.routes("dev", function(route, origin) routes:add(route, origin) end)
end
routes:finish()
topics.load()
hooks.load()
verify.read()

local starters = {}
loader.each("start", function(value, origin)
  if type(value) ~= "function" then
    error(("%s: a start file returns a function, it returned a %s"):format(origin, type(value)), 0)
  end
  starters[#starters + 1] = value
end)


local function no_such_path(req)
  errors.throw(404, "not_found", ("nothing answers %s"):format(req.path:sub(1, 200)))
end


local function not_allowed(req)
  local headers = { Allow = req.allow }
  if req.method == "OPTIONS" then return { status = 204, headers = headers } end
  errors.throw(405, "method_not_allowed",
    ("%s is not possible here; allowed: %s"):format(req.method, req.allow), headers)
end

no_such_path = https.wrap(plugins.wrap(middleware.wrap(app.middleware, no_such_path, "config.lua")))
not_allowed = https.wrap(plugins.wrap(middleware.wrap(app.middleware, not_allowed, "config.lua")))

local static, new_request, Request = routes.static, request.new, request.metatable


-- A handler with the hooks around it: they see what the application and its middleware see.
local function hooked(call, req)
  local refused, message, code, status = hooks.run("request", { req = req })
  if refused == false then errors.throw(status or 403, code, message) end
  local context = { req = req, response = call(req) }
  hooks.run("response", context)
  return context.response
end


-- A stream of events begins where the client that comes back has left it.
local function answer(call, req)
  local res
  if hooks.any "request" or hooks.any "response" then
    res = hooked(call, req)
  else
    res = call(req)
  end
  local stream = type(res) == "table" and res.stream
  if stream and stream.kind == "sse" then return sse.prepare(req, res) end
  return res
end


-- Everything but a static path with a method of its own.
local function search(x, method, path)
  local endpoint, params, tail = routes:find(method, path)
  if endpoint then
    x:route(endpoint.pattern)
    return answer(endpoint.call, setmetatable({
      x = x, method = method, path = path, route = endpoint.route, params = params, tail = tail,
    }, Request))
  end
  local req = new_request(x, method, path)
  if not params then return no_such_path(req) end
  req.allow = params
  return not_allowed(req)
end


topics.apply()

local boot = {}


--- Answers a request; a task, so it may wait.
---@param x any the exchange
---@param method string
---@param path string decoded and normalised
---@return web.Response
function boot.dispatch(x, method, path)
  local methods = static[path]
  local endpoint = methods and methods[method]
  if not endpoint then return search(x, method, path) end
  x:route(endpoint.pattern)
  return answer(endpoint.call, setmetatable({
    x = x, method = method, path = path, route = endpoint.route,
  }, Request))
end

boot.verify = verify.all
boot.control = require("web.control").load()


--- The answer for what a handler raised. Does not wait.
function boot.failed(err, traceback, x, dev)
  return failure.response(err, traceback, x, dev, error_writers[x:route()])
end

boot.ws = sockets.calls
boot.refresh = topics.refresh
boot.save = plugins.save
boot.restore = plugins.restore
boot.news = news.pump


--- After new scripts were swapped in; a task of one worker.
function boot.reloaded()
  if config.get "rerender" then topics.renew() end
end


boot.prepare = require("web.migrations").prepare


--- Starts the timers of plugins, and on worker 0 lua/start/*.lua, each as a task of its own, once
--- the listeners accept.
---@param info { worker: integer }
function boot.start(info)
  plugins.start(info.worker)
  if info.worker ~= 0 then return end
  local spawn = require("host.task").spawn
  for _, start in ipairs(starters) do spawn(start, info) end
end



--- What the application consists of, as JSON: for commands.
---@return string
function boot.inventory()
  local list = require "web.inventory"()
  list.problems = json.array(verify.problems())
  return json.encode(list)
end

if config.get "dev" then require("web.dev").install(boot) end

return boot
