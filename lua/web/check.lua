-- Checks what a client sent, field by field; what is wrong ends the request with 400 and the
-- field's name.
--   local body = check.fields(req.json, { session_id = "string", args = "object?" })
local errors = require "web.errors"
local json = require "host.json"

local check = {}

local ARTICLES = {
  string = "a string", integer = "a whole number", number = "a number", boolean = "true or false",
  object = "an object", array = "an array",
}


--- Is it a JSON object (and not an array)?
---@return boolean
function check.is_object(value)
  return type(value) == "table" and getmetatable(value) ~= json.array_mt and value ~= json.null
end


local function kind_of(value)
  local kind = type(value)
  if value == json.null then return "null" end
  if kind == "table" then return check.is_object(value) and "object" or "array" end
  return kind
end


local function fits(value, wanted)
  local kind = kind_of(value)
  if wanted == "integer" then return math.tointeger(value) ~= nil and kind == "number" end
  return kind == wanted
end


local function fail(message, field)
  errors.throw(400, "invalid", message, nil, field and { field = field })
end


local function refuse_unknown(value, spec)
  local known = {}
  for field in pairs(spec) do known[#known + 1] = field end
  table.sort(known)
  for field in pairs(value) do
    if not spec[field] then
      fail(("unknown field \"%s\"; known fields: %s"):format(tostring(field):sub(1, 100),
        table.concat(known, ", ")), tostring(field):sub(1, 100))
    end
  end
end


--- An object whose fields have the wanted types: "string", "integer", "number", "boolean",
--- "object", "array"; with a question mark a field may be absent or null.
---@param value any decoded JSON
---@param spec table<string, string>
---@return table
function check.fields(value, spec)
  if not check.is_object(value) then
    fail(("the body must be a JSON object, got %s"):format(kind_of(value)))
  end
  refuse_unknown(value, spec)
  local fields = {}
  for field, wanted in pairs(spec) do
    local kind, optional = wanted:match "^(%a+)(%??)$"
    local given = value[field]
    local absent = given == nil or given == json.null
    if not absent and not fits(given, kind) then
      fail(("\"%s\" must be %s, got %s"):format(field, ARTICLES[kind], kind_of(given)), field)
    elseif absent and optional == "" then
      fail(("\"%s\" is missing; it must be %s"):format(field, ARTICLES[kind]), field)
    end
    if not absent then fields[field] = given end
  end
  return fields
end


--- A whole number from the query, with bounds.
---@param text string|nil
---@param field string
---@param missing integer
---@param min integer
---@param max integer
---@return integer
function check.integer(text, field, missing, min, max)
  if text == nil then return missing end
  local number = text:find "^%-?%d+$" and math.tointeger(tonumber(text))
  if not number or number < min or number > max then
    fail(("\"%s\" must be a whole number from %d to %d"):format(field, min, max), field)
  end
  return number
end

return check
