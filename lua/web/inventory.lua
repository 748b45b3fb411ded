-- What the application consists of, as plain data: for `lunacast routes`, `lunacast check` and the
-- page of development.
local config = require "host.config"
local hooks = require "web.hooks"
local json = require "host.json"
local loader = require "web.loader"
local routes = require "web.routes"
local templates = require "web.templates"
local where = require("host.control").where


local function names_of(list)
  local names = json.array {}
  for _, item in ipairs(list or {}) do
    names[#names + 1] = type(item) == "string" and item or "(function)"
  end
  return names
end


-- The function that answers, as the file has it; of a WebSocket the first there is.
local function handler_of(endpoint)
  local route = endpoint.route
  if endpoint.method ~= "WS" then return route[endpoint.method] end
  return route.WS.open or route.WS.message or route.WS.close or route.WS.gap
end


local function describe(endpoint)
  local fn = handler_of(endpoint)
  local file, line
  if type(fn) == "function" then file, line = where(fn) end
  if file and file:find "^lua/web/" then file, line = nil, nil end -- wrapped by a helper
  return {
    method = endpoint.method, path = endpoint.pattern, origin = endpoint.origin,
    file = file or endpoint.origin, line = line,
    middleware = names_of(endpoint.route.middleware),
  }
end


local function all_routes()
  local list = json.array {}
  for _, endpoint in ipairs(routes.endpoints) do
    local route = endpoint.route
    if endpoint.method == "GET" and route.WS then
      list[#list + 1] = describe { method = "WS", pattern = endpoint.pattern, route = route,
        origin = endpoint.origin }
    end
    if endpoint.method ~= "GET" or route.GET then list[#list + 1] = describe(endpoint) end
  end
  table.sort(list, function(a, b)
    if a.path ~= b.path then return a.path < b.path end
    return a.method < b.method
  end)
  return list
end


local function stems(folder)
  local names = json.array {}
  for _, module in ipairs(loader.modules(folder)) do
    names[#names + 1] = module:match "[^.]+$"
  end
  return names
end


local function plugin_list()
  local ok, plugins = pcall(require, "web.plugins")
  return ok and type(plugins) == "table" and plugins.list and json.array(plugins.list())
    or json.array {}
end


---@return table
return function()
  return {
    routes = all_routes(),
    middleware = names_of((config.app or {}).middleware),
    filters = stems "filters",
    templates = json.array(templates.names()),
    topics = stems "topics",
    hooks = hooks.list and json.array(hooks.list()) or stems "hooks",
    start = stems "start",
    plugins = plugin_list(),
  }
end
