-- Finds the application's files: one file, one module, one table or function. The application's
-- folder lies over the framework's files in the binary: a file of the same name replaces, others
-- add. Runs while the VM is built, so nothing here waits.
local file = require "host.file"

local loader = {}


--- The modules of a folder below lua/, sorted by name: "routes" -> { "routes.health", ... }.
---@param folder string
---@param options? { own?: boolean } own: without those that come with lunacast
---@return string[]
function loader.modules(folder, options)
  local names = {}
  for _, name in ipairs(file.list("lua/" .. folder:gsub("%.", "/"), options)) do
    local stem = name:match "^([%w_-]+)%.lua$"
    if stem then names[#names + 1] = folder .. "." .. stem end
  end
  table.sort(names)
  return names
end


--- The path of a module's file, for people.
---@param name string "routes.health"
---@return string "lua/routes/health.lua"
function loader.path(name)
  return "lua/" .. name:gsub("%.", "/") .. ".lua"
end


--- Requires each module of a folder and calls visit(value, path).
---@param folder string
---@param visit fun(value: any, path: string)
function loader.each(folder, visit)
  for _, name in ipairs(loader.modules(folder)) do visit(require(name), loader.path(name)) end
end


--- The routes of a folder: a file returns one, or a list of them; visit(route, path) for each.
---@param folder string
---@param visit fun(route: web.Route, path: string)
function loader.routes(folder, visit)
  loader.each(folder, function(value, origin)
    if type(value) ~= "table" then
      error(("%s: a route file returns a table, it returned %s"):format(origin,
        value == true and "nothing" or "a " .. type(value)), 0) -- require makes true of nothing
    end
    if value.path ~= nil then return visit(value, origin) end
    if value[1] == nil and next(value) ~= nil then
      error(('%s: a route needs a path: path = "/..."'):format(origin), 0)
    end
    for _, route in ipairs(value) do visit(route, origin) end
  end)
end

return loader
