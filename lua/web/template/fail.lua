-- Arguments of built-in filters, tests and functions: taken by name, checked, with a default.
local value = require "web.template.value"

local fail = {}

local type, mtype, describe = type, math.type, value.describe

local function raise(message)
  error({ message = message }, 0)
end
fail.raise = raise

--- A value or argument of the wrong kind.
function fail.kind(name, what, v, expected)
  raise(("%s: %s must be %s, got %s"):format(name, what, expected, describe(v)))
end

local function argument(check, expected)
  return function(name, args, key, default)
    local v = args[key]
    if v == nil then
      if default == nil then raise(("%s needs `%s=`, %s"):format(name, key, expected)) end
      return default
    end
    if not check(v) then fail.kind(name, "`" .. key .. "`", v, expected) end
    return v
  end
end

--- fail.string(name, args, key, default): without a default the argument is required.
fail.string = argument(function(v) return type(v) == "string" end, "a string")
fail.boolean = argument(function(v) return type(v) == "boolean" end, "true or false")
fail.number = argument(function(v) return type(v) == "number" end, "a number")
fail.integer = argument(function(v) return mtype(v) == "integer" end, "an integer")
fail.natural = argument(function(v) return mtype(v) == "integer" and v >= 0 end,
  "an integer from 0")

--- The value of a filter.
function fail.text_value(name, v)
  if type(v) ~= "string" then fail.kind(name, "the value", v, "a string") end
  return v
end

function fail.number_value(name, v)
  if type(v) ~= "number" then fail.kind(name, "the value", v, "a number") end
  return v
end

function fail.array_value(name, v)
  if not value.is_array(v) then fail.kind(name, "the value", v, "an array") end
  return v
end

return fail
