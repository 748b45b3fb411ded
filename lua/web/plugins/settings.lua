-- A plugin's settings: what config.lua says, checked against the plugin's schema (web.schema, by
-- field) before any of its code runs. Wrong ones end the load with plugin, key, expected and got,
-- and the line where it stands.
local errors = require "web.template.errors"
local file = require "host.file"
local json = require "host.json"
local schema = require "web.schema"

local settings = {}

local SHOWN_BYTES <const> = 60


-- Lua keeps no lines of a table's fields: the key is looked for behind the plugin's name.
local function line_of(name, key)
  local text = file.source "config.lua"
  local from = text
    and (text:find('"' .. name .. '"', 1, true) or text:find("'" .. name .. "'", 1, true))
  if not from then return nil end
  local last = key:match "[%w_]+$" or key
  local at = key ~= "" and text:find("%f[%w_]" .. last .. "%s*%]?%s*=", from) or from
  if not at then return nil end
  local _, breaks = text:sub(1, at):gsub("\n", "")
  return breaks + 1
end


local function fail(name, key, text, ...)
  local line = line_of(name, key)
  error(('config.lua%s: plugin "%s": %s%s'):format(line and ":" .. line or "", name,
    key ~= "" and key .. " " or "", text:format(...)), 0)
end


local function shown(value)
  if type(value) == "table" then return "a table" end
  local text = type(value) == "string" and '"' .. value .. '"' or tostring(value)
  return #text > SHOWN_BYTES and text:sub(1, SHOWN_BYTES) .. "..." or text
end


local function at_path(value, path)
  for part in path:gmatch "[^.%[%]]+" do
    if type(value) ~= "table" then return nil end
    local i = path:find "%[" and math.tointeger(tonumber(part))
    if value[part] ~= nil then value = value[part] else value = i and value[i + 1] end
  end
  return value
end


-- Lists of Lua are JSON arrays for the schema; unknown keys are told with the nearest right one.
local function prepare(name, s, value, where)
  if type(value) ~= "table" then return end
  if s.type == "array" or s.items then
    setmetatable(value, json.array_mt)
    for i, item in ipairs(value) do
      prepare(name, s.items or {}, item, ("%s[%d]"):format(where, i - 1))
    end
  elseif s.fields then
    for key, item in pairs(value) do
      local path = where == "" and tostring(key) or where .. "." .. tostring(key)
      if s.fields[key] then
        prepare(name, s.fields[key], item, path)
      elseif not s.open then
        fail(name, path, "is no setting of it%s", errors.suggest(tostring(key), s.fields))
      end
    end
  end
end


--- The checked settings with defaults.
---@param name string the plugin's
---@param fields table<string, web.Schema>|nil
---@param given table
---@return table
function settings.check(name, fields, given)
  local s = { fields = fields or {} }
  local made, compiled = pcall(schema.compile, s, ("of plugins/%s"):format(name))
  if not made then error(compiled, 0) end
  prepare(name, s, given, "")
  local checked, wrong = schema.check(compiled, given)
  if checked then return checked end
  local first = wrong[1]
  local got = ""
  if not (first.error:find "got " or first.error:find " has " or first.error:find "missing") then
    got = ", got " .. shown(at_path(given, first.field))
  end
  fail(name, first.field, "%s%s", first.error, got)
end


--- Ends the load because of an entry of the list.
---@param name string
function settings.fail(name, key, text, ...)
  fail(name, key, text, ...)
end

return settings
