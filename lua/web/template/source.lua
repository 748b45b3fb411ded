-- Where an environment's templates come from: a table, a function, or a folder of the application.
local file = require "host.file"

local source = {}

-- Names that could leave the folder are no names of templates.
local function is_inside(name)
  return name ~= "" and not name:find "^/" and not name:find "[%z\\]"
    and not ("/" .. name .. "/"):find("/%.%.?/")
end

-- Folders of plugins: "badge/" -> "plugins/badge/templates/".
local prefixes = {}

--- Templates whose names begin with `prefix` lie in another folder too; those of the folder
--- templates/ come first.
---@param prefix string "badge/"
---@param folder string
---@return fun() undo
function source.add(prefix, folder)
  prefixes[prefix] = folder:gsub("/*$", "/")
  return function() prefixes[prefix] = nil end
end

local function from_prefix(name)
  local prefix, rest = name:match "^([^/]+/)(.+)$"
  return prefixes[prefix] and file.source(prefixes[prefix] .. rest)
end

local function from_folder(folder)
  local prefix = folder:gsub("/*$", "/")
  local seen = {}
  return {
    read = function(name)
      if not is_inside(name) then return nil end
      if seen[name] == nil then
        seen[name] = file.source(prefix .. name) or from_prefix(name) or false
      end
      return seen[name] or nil
    end,
    names = function() return file.list(folder) end,
  }
end

---@param given table<string, string>|(fun(name: string): string?)|string|nil
---@return { read: fun(name: string): string?, names: fun(): table }
function source.new(given)
  if given == nil then given = {} end
  if type(given) == "string" then return from_folder(given) end
  if type(given) == "function" then
    return { read = given, names = function() return {} end }
  end
  if type(given) ~= "table" then
    error("a template source is a table of texts, a function, or a folder's name", 3)
  end
  return { read = function(name) return given[name] end, names = function() return given end }
end

return source
