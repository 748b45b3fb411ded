-- Middleware: functions (req, next) -> response around a handler. Chains are closed once at load,
-- so that a request pays one call for each and a route without any pays nothing.
--   middleware = { "bearer", function(req, next) ... return next(req) end }
-- A name stands for what a plugin has added under it, else for the file lua/middleware/<name>.lua,
-- which returns such a function.
local loader = require "web.loader"
local suggest = require("web.template.errors").suggest

local middleware = {}

local added = {} -- by plugins: name -> function


local function known_names()
  local names = {}
  for name in pairs(added) do names[name] = true end
  for _, module in ipairs(loader.modules "middleware") do names[module:match "[^.]+$"] = true end
  return names
end


local function resolve(item, origin)
  if type(item) == "function" then return item end
  if type(item) ~= "string" then
    error(("%s: middleware is a name or a function, got a %s"):format(origin, type(item)), 0)
  end
  if added[item] then return added[item] end
  local ok, found = pcall(require, "middleware." .. item)
  local absent = ("module 'middleware.%s' not found"):format(item)
  if not ok and tostring(found):sub(1, #absent) == absent then
    error(('%s: there is no middleware "%s", no file lua/middleware/%s.lua%s'):format(origin, item,
      item, suggest(item, known_names())), 0)
  elseif not ok then
    error(("%s: middleware \"%s\": %s"):format(origin, item, tostring(found)), 0)
  end
  if type(found) ~= "function" then
    error(("lua/middleware/%s.lua must return a function(req, next), it returned a %s"):format(item,
      type(found)), 0)
  end
  return found
end


--- Adds a middleware that routes can name; for plugins.
---@param name string
---@param fn web.Middleware
---@return fun() undo
function middleware.add(name, fn)
  if added[name] then error(("there is a middleware \"%s\" already"):format(name), 2) end
  added[name] = fn
  return function() added[name] = nil end
end


--- Puts a list of middleware around a handler, the first one outermost.
---@param list (string|function)[]|nil
---@param handler fun(req: web.Request): web.Response
---@param origin string the file, for error messages
---@return fun(req: web.Request): web.Response
function middleware.wrap(list, handler, origin)
  if list ~= nil and type(list) ~= "table" then
    error(("%s: middleware is a list of names and functions, such as { \"bearer\" }, got a %s")
      :format(origin, type(list)), 0)
  end
  for i = #(list or {}), 1, -1 do
    local outer, inner = resolve(list[i], origin), handler
    handler = function(req)
      return outer(req, inner)
    end
  end
  return handler
end

return middleware
