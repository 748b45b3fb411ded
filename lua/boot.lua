-- Runs once per VM, while it is built: loads the application and returns what C calls.
--
--   exchange -> static["GET /path"] -> middleware -> handler -> response -> C
--          \--> dispatch -> router -----^       \-- raised --> failed -> response -> C
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
local migrations = require "web.migrations"
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
hooks.load()

-- The middleware of the application and of plugins, outermost first.
local function outer(handler)
  return https.wrap(plugins.wrap(middleware.wrap(app.middleware, handler, "config.lua")))
end


local function wrap(handler, route, origin, method)
  local name = method .. " " .. tostring(route.path)
  local checked = describe.wrap(handler, route.describe and route.describe[method], name, origin)
  return hooks.around(outer(middleware.wrap(route.middleware, checked, origin)))
end

local error_writers = {} -- route.errors by path

local function add_route(route, origin)
  if route.errors then error_writers[route.path] = route.errors end
  return routes:add(route, origin, wrap)
end


-- What C needs to answer a path without parameters: the handler, and what its requests have in
-- common. C makes the request itself, { x = exchange }.
local function enter(endpoint, method)
  return {
    endpoint.call,
    request.class { method = method, path = endpoint.pattern, route = endpoint.route },
  }
end

loader.routes("routes", add_route)
plugins.add_routes(add_route)
for _, route in ipairs((gateway.routes(config.section "gateway"))) do
  add_route(route, "config.lua")
end
if config.get "dev" then
  loader.routes("dev", function(route, origin) routes:add(route, origin) end)
end
routes:finish(enter)
topics.load()
verify.read()

local starters = {}
loader.each("start", function(value, origin)
  if type(value) ~= "function" then
    error(("%s: a start file returns a function, it returned a %s"):format(origin, type(value)), 0)
  end
  starters[#starters + 1] = value
end)


local no_such_path = outer(function(req)
  errors.throw(404, "not_found", ("nothing answers %s"):format(req.path:sub(1, 200)))
end)


local not_allowed = outer(function(req)
  local headers = { Allow = req.allow }
  if req.method == "OPTIONS" then return { status = 204, headers = headers } end
  errors.throw(405, "method_not_allowed",
    ("%s is not possible here; allowed: %s"):format(req.method, req.allow), headers)
end)

topics.apply()

local boot = {}

--- What answers paths without parameters: "GET /path" -> { handler, metatable of its requests }.
boot.static = routes.static


--- Answers all other requests; a task, so it may wait.
---@param x any the exchange
---@param method string
---@param path string decoded and normalised
---@return web.Response
---@return web.Request
function boot.dispatch(x, method, path)
  local endpoint, params, tail = routes:find(method, path)
  if endpoint then
    x:route(endpoint.pattern)
    local req = request.new(x, method, path, endpoint.route, params, tail)
    return endpoint.call(req), req
  end
  local req = request.new(x, method, path)
  if not params then return no_such_path(req), req end
  req.allow = params
  return not_allowed(req), req
end


--- What a stream of events needs of its request before C opens it.
boot.stream = sse.prepare

boot.verify = verify.all
boot.control = require("web.control").load()


--- The answer for what a handler raised. Does not wait.
function boot.failed(err, traceback, x, dev)
  return failure.response(err, traceback, x, dev, error_writers[x:route()])
end

boot.ws = sockets.calls
boot.refresh = topics.refresh
boot.news = news.pump
boot.prepare = migrations.prepare


--- What newer code takes over, as text.
function boot.save()
  return json.encode { plugins = plugins.save(), pending = migrations.pending }
end


--- Before anything is served.
function boot.restore(text)
  local state = json.decode(text)
  plugins.restore(state.plugins)
  if migrations.pending == nil then migrations.pending = state.pending end
end


--- After new scripts were swapped in; a task of one worker.
function boot.reloaded()
  if config.get "rerender" then topics.renew() end
  if not config.get "dev" and not migrations.pending then migrations.remind() end
end


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
