-- What a plugin's `setup` gets: everything it adds to the application goes through here, and each
-- call puts its undo on a list, so that taking the plugin away needs nothing of its author. After
-- setup the object is sealed: what is added later would not stand in the order of the list.
--
--   new -> setup(plugin, config) -> sealed -> removed (all undone, in reverse order)
local account = require "host.account"
local extensions = require "web.template.extensions"
local health = require "web.health"
local hooks = require "web.hooks"
local log = require "host.log"
local metered = require "web.plugins.metered"
local middleware = require "web.middleware"
local series = require "web.plugins.series"
local source = require "web.template.source"
local timers = require "web.plugins.timers"
local topics = require "web.topics"

---@class web.Plugin
---@field name string
---@field version string
---@field folder string "plugins/badge"
---@field config table its checked settings
---@field log table<string, fun(message: string, fields?: table)> debug, info, warn, error
---@field off boolean|nil it was taken away
---@field package manifest table
---@field package account integer
---@field package undos fun()[]
---@field package counts table<string, integer>
---@field package routes table[]
---@field package chain web.Middleware[]
---@field package timers table[]
---@field package commands table<string, table>
local Plugin = {}
Plugin.__index = Plugin
Plugin.__name = "web.Plugin"

local METHODS = {
  GET = true, HEAD = true, POST = true, PUT = true, PATCH = true, DELETE = true, OPTIONS = true,
}
local ONCE_PER = { cluster = true, node = true, worker = true }
local SECONDS_LEAST <const> = 0.05

local object = {}


local function logs_of(name)
  local logs = {}
  for _, level in ipairs { "debug", "info", "warn", "error" } do
    logs[level] = function(message, fields)
      local all = { plugin = name }
      for key, value in pairs(fields or {}) do all[key] = value end
      log[level](message, all)
    end
  end
  return logs
end


--- A plugin that has added nothing yet.
---@param manifest table
---@param config table
---@param host { node: fun(): string, exports: table<string, any> }
---@return web.Plugin
function object.new(manifest, config, host)
  return setmetatable({
    name = manifest.name, version = manifest.version or "0", folder = "plugins/" .. manifest.name,
    config = config, manifest = manifest, log = logs_of(manifest.name), host = host,
    account = account.of(manifest.name), undos = {}, counts = {},
    routes = {}, chain = {}, timers = {}, commands = {},
  }, Plugin)
end


local function fail(self, text, ...)
  error(('plugin "%s": ' .. text):format(self.name, ...), 3)
end


local function record(self, kind, undo)
  self.undos[#self.undos + 1] = undo
  self.counts[kind] = (self.counts[kind] or 0) + 1
end


local function check(self, what, fn)
  if self.sealed then fail(self, "adds a %s after its setup", what) end
  if type(fn) ~= "function" then fail(self, "a %s is a function, got a %s", what, type(fn)) end
end

-- Requests ------------------------------------------------------------------------------------

local function metered_socket(self, handlers)
  local copy = {}
  for name, value in pairs(handlers) do
    copy[name] = type(value) == "function" and metered.open(self, value) or value
  end
  local message = copy.message
  if message then
    function copy.message(ws, ...)
      if self.off then return ws:close(1001, "this service was switched off") end
      return message(ws, ...)
    end
  end
  return copy
end


--- Adds a route, or a list of them: what a file in lua/routes/ returns.
---@param route web.Route|web.Route[]
function Plugin:route(route)
  if self.sealed then fail(self, "adds a route after its setup") end
  if type(route) ~= "table" then fail(self, "a route is a table, got a %s", type(route)) end
  if route.path == nil then
    for _, one in ipairs(route) do self:route(one) end
    return
  end
  local copy = {}
  for name, value in pairs(route) do
    copy[name] = METHODS[name] and type(value) == "function" and metered.open(self, value) or value
  end
  if type(route.WS) == "table" then copy.WS = metered_socket(self, route.WS) end
  self.routes[#self.routes + 1] = copy
end


--- Puts the plugin's routes into the router; called by boot when all plugins are set up.
function Plugin:add_routes(add)
  for _, route in ipairs(self.routes) do record(self, "routes", add(route, self.folder)) end
end


--- Adds a middleware: around everything, in the order of the plugins; with a name, around those
--- routes that name it.
---@param name string|web.Middleware
---@param fn? web.Middleware
function Plugin:middleware(name, fn)
  check(self, "middleware", fn or name)
  if fn == nil then
    self.chain[#self.chain + 1] = name
    record(self, "middleware", function() end) -- `off` ends it
    return
  end
  local call = metered.open(self, fn)
  record(self, "middleware", middleware.add(name, function(req, next)
    if self.off then return next(req) end
    return call(req, next)
  end))
end


--- The plugin's middleware around a handler.
function Plugin:wrap(handler)
  for i = #self.chain, 1, -1 do handler = metered.around(self, self.chain[i], handler) end
  return handler
end


--- Serves a folder of the plugin below a path.
---@param path string "/assets"
---@param folder string "public", in the plugin's folder
function Plugin:static(path, folder)
  local web = require "web"
  self:route {
    path = path .. "/**",
    GET = function(req)
      return web.file(req, ("%s/%s/%s"):format(self.folder, folder, req.tail))
    end,
  }
end


--- Renders a template of the plugin's own templates/ folder (or one of the application's that
--- lies in templates/<plugin>/ and takes its place).
---@param status integer|string
---@param name? string|table
---@param args? table
---@return web.Response
function Plugin:render(status, name, args)
  if type(status) == "string" then status, name, args = 200, status, name end
  return require "web.render"(status, self.name .. "/" .. name, args)
end

-- Templates -----------------------------------------------------------------------------------

local function extend(self, sort, name, fn)
  local call = type(fn) == "table" and fn.call or fn
  check(self, sort, call)
  local timed = metered.timed(self, call)
  local function guarded(...)
    if self.off then error(("the plugin %s was switched off"):format(self.name), 0) end
    return timed(...)
  end
  local found = type(fn) == "table" and { safe = fn.safe, call = guarded } or guarded
  record(self, sort, extensions.add(sort, name, found))
end


--- Adds a template filter: fn(value, args), or { safe = true, call = fn } whose output is markup.
function Plugin:filter(name, fn)
  extend(self, "filter", name, fn)
end


--- Adds a template test: fn(value, args) -> boolean.
function Plugin:test(name, fn)
  extend(self, "test", name, fn)
end


--- Adds a template function: fn(args), or { safe = true, call = fn }.
function Plugin:template_function(name, fn)
  extend(self, "function", name, fn)
end


--- Adds a folder of templates, named "<plugin>/...".
function Plugin:templates(folder)
  record(self, "templates", source.add(self.name .. "/", self.folder .. "/" .. folder))
end

-- Topics, hooks, timers ---------------------------------------------------------------------

local function metered_functions(self, value)
  if type(value) == "function" then return metered.closed(self, value) end
  if type(value) ~= "table" then return value end
  local copy = {}
  for name, item in pairs(value) do copy[name] = metered_functions(self, item) end
  return copy
end


--- Adds what a file in lua/topics/ would return.
---@param rules table
function Plugin:topic(rules)
  if self.sealed then fail(self, "adds a topic after its setup") end
  record(self, "topics", topics.add(metered_functions(self, rules), self.folder))
end


--- Adds a function to a hook (web.hooks).
---@param name hooks.Name
---@param fn fun(context: table): boolean|nil, string|nil, string|nil
function Plugin:hook(name, fn)
  check(self, "hook", fn)
  record(self, "hooks", hooks.add(name, metered.closed(self, fn), self.folder))
end


--- Calls fn every so many seconds; each run is a task, so it may wait.
---@param seconds number
---@param fn fun()
---@param options? { once_per?: "cluster"|"node"|"worker" } cluster when absent
function Plugin:every(seconds, fn, options)
  check(self, "timer", fn)
  local once_per = options and options.once_per or "cluster"
  if type(seconds) ~= "number" or seconds < SECONDS_LEAST or seconds ~= seconds then
    fail(self, "a timer's seconds are a number of at least %g, got %s", SECONDS_LEAST,
      tostring(seconds))
  end
  if not ONCE_PER[once_per] then
    fail(self, 'once_per is "cluster", "node" or "worker", got "%s"', tostring(once_per))
  end
  local name = ("plugin:%s:%d"):format(self.name, #self.timers + 1)
  local timer = timers.new(name, seconds, metered.closed(self, fn), once_per, self.host.node)
  self.timers[#self.timers + 1] = timer
  record(self, "timers", function() timers.stop(timer) end)
end

-- Looking in ------------------------------------------------------------------------------------

--- Adds a command of the command line: `lunacast <plugin> <name>`, as a file in lua/commands/.
---@param name string
---@param command cli.Command
function Plugin:command(name, command)
  if self.sealed then fail(self, "adds a command after its setup") end
  if self.commands[name] then fail(self, "adds the command %s twice", name) end
  self.commands[name] = command
  record(self, "commands", function() self.commands[name] = nil end)
end


--- Adds a check to /health and /ready: true, or nil and what is wrong. It may wait.
---@param fn fun(): boolean|nil, string|nil
function Plugin:health(fn)
  check(self, "health check", fn)
  record(self, "checks", health.add(self.name, metered.closed(self, fn)))
end


---@return host.Counter
function Plugin:counter(name, help)
  record(self, "metrics", function() end)
  return series.counter(name, help)
end


---@return host.Histogram
function Plugin:histogram(name, help)
  record(self, "metrics", function() end)
  return series.histogram(name, help)
end


---@return host.Gauge
function Plugin:gauge(name, help)
  local gauge, undo = series.gauge(name, help)
  record(self, "metrics", undo)
  return gauge
end


--- What another plugin's setup has returned; it must stand in `requires`.
---@param name string
---@return any
function Plugin:use(name)
  for _, needed in ipairs(self.manifest.requires or {}) do
    if needed == name then return self.host.exports[name] end
  end
  fail(self, 'uses "%s", which is not in its `requires`', name)
end


--- Something of the plugin's own to be undone when it is taken away.
---@param fn fun()
function Plugin:on_removal(fn)
  check(self, "function for the removal", fn)
  record(self, "removals", fn)
end

-- The end -------------------------------------------------------------------------------------

function Plugin:seal()
  self.sealed = true
end


function Plugin:start(worker)
  for _, timer in ipairs(self.timers) do timers.start(timer, worker) end
end


--- Takes everything away that it has added.
function Plugin:remove()
  if self.off then return end
  self.off = true
  for i = #self.undos, 1, -1 do
    local ok, err = pcall(self.undos[i])
    if not ok then self.log.error("could not be undone", { error = tostring(err) }) end
  end
  self.undos, self.counts = {}, {}
end

return object
