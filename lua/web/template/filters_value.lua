-- Filters of numbers, and of values of several kinds.
local dates = require "web.template.dates"
local encode = require "web.template.encode"
local fail = require "web.template.fail"
local print = require "web.template.print"
local runtime = require "web.template.runtime"
local text = require "web.template.text"
local value = require "web.template.value"

local filters = {}

local null <const> = value.null
local type, mtype, floor = type, math.type, math.floor

-- A float as the nearest integer toward zero, within 64 bits; NaN is 0.
local function truncate(x)
  if x ~= x then return 0 end
  if x >= 2.0 ^ 63 then return math.maxinteger end
  if x <= -2.0 ^ 63 then return math.mininteger end
  return math.tointeger(x < 0 and math.ceil(x) or floor(x))
end

local LABEL_INT <const> = "filter 'int'"
local prefixes = { [2] = "0b", [8] = "0o", [16] = "0x" }

local function digit(c)
  if c >= 48 and c <= 57 then return c - 48 end
  if c >= 97 and c <= 122 then return c - 87 end
  if c >= 65 and c <= 90 then return c - 55 end
  return 99
end

-- Digits of a base, with a sign; nil when it is not a number that fits into 64 bits.
local function parse_integer(s, base)
  local sign, digits = s:match "^([-+]?)(.+)$"
  if not digits or #digits > 80 then return nil end
  local n = 0
  for i = 1, #digits do
    local d = digit(digits:byte(i))
    if d >= base then return nil end
    -- Counts downwards, since there is one more negative integer.
    if n < (math.mininteger + d) // base + ((math.mininteger + d) % base == 0 and 0 or 1) then
      return nil
    end
    n = n * base - d
  end
  if sign == "-" then return n end
  if n == math.mininteger then return nil end
  return -n
end

local function parse_float(s)
  local sign, whole, fraction, rest = s:match "^([-+]?)(%d*)(%.?%d*)(.*)$"
  if whole == "" and #fraction < 2 then return nil end
  if rest ~= "" and not rest:find "^[eE][-+]?%d+$" then return nil end
  local x = tonumber(whole .. fraction .. rest) + 0.0
  return sign == "-" and -x or x
end

function filters.int(v, args)
  local default = fail.integer(LABEL_INT, args, "default", 0)
  local base = fail.natural(LABEL_INT, args, "base", 10)
  if base < 2 or base > 36 then
    fail.raise(("%s: `base` is between 2 and 36, got %d"):format(LABEL_INT, base))
  end
  if mtype(v) then return truncate(v + 0.0) end
  if type(v) ~= "string" then fail.kind(LABEL_INT, "the value", v, "a string or a number") end
  if #v > 400 then return default end
  local s = text.trim(v)
  local prefix = prefixes[base]
  while prefix and s:sub(1, 2) == prefix do s = s:sub(3) end
  local n = parse_integer(s, base)
  if n then return n end
  if not s:find(".", 1, true) then return default end
  local x = parse_float(s)
  return x and truncate(x) or default
end

local LABEL_FLOAT <const> = "filter 'float'"
local unreal = { inf = true, infinity = true, nan = true }

function filters.float(v, args)
  local default = fail.number(LABEL_FLOAT, args, "default", 0.0)
  if mtype(v) then return v + 0.0 end
  if type(v) ~= "string" then fail.kind(LABEL_FLOAT, "the value", v, "a string or a number") end
  if #v > 400 then return default + 0.0 end
  local s = text.trim(v)
  if unreal[s:lower():gsub("^[-+]", "")] then return null end
  local x = parse_float(s)
  if x == math.huge or x == -math.huge then return null end
  return x or default + 0.0
end

function filters.abs(v)
  local label = "filter 'abs'"
  fail.number_value(label, v)
  if v == math.mininteger and mtype(v) == "integer" then
    fail.raise(label .. ": its result does not fit into 64 bits")
  end
  return math.abs(v)
end

function filters.pluralize(v, args)
  local label = "filter 'pluralize'"
  fail.number_value(label, v)
  local plural = fail.string(label, args, "plural", "s")
  local singular = fail.string(label, args, "singular", "")
  return (v == 1 or v == -1) and singular or plural
end

-- Half away from zero.
local function nearest(x)
  if x ~= x or x >= 2 ^ 52 or x <= -2 ^ 52 then return x end
  local low = floor(x)
  local rest = x - low
  if rest > 0.5 or rest == 0.5 and x > 0 then low = low + 1 end
  -- -0.4 rounds to -0.0
  return low == 0 and x < 0 and -0.0 or low + 0.0
end

local function ceil(x)
  if x ~= x or x >= 2 ^ 52 or x <= -2 ^ 52 then return x end
  local high = math.ceil(x)
  return high == 0 and x < 0 and -0.0 or high + 0.0
end

local function floored(x)
  if x ~= x or x >= 2 ^ 52 or x <= -2 ^ 52 then return x end
  return x == 0 and x or floor(x) + 0.0
end

local methods = { common = nearest, ceil = ceil, floor = floored }

function filters.round(v, args)
  local label = "filter 'round'"
  fail.number_value(label, v)
  local method = fail.string(label, args, "method", "common")
  local precision = fail.integer(label, args, "precision", 0)
  if precision > 2147483647 or precision < -2147483648 then
    fail.raise(label .. ": `precision` does not fit into 32 bits")
  end
  local apply = methods[method]
  if not apply then
    fail.raise(("%s: `method` is common, ceil or floor, got '%s'"):format(label, method))
  end
  if precision == 0 then return apply(v + 0.0) end
  local factor = 10.0 ^ precision
  local result = apply(factor * v) / factor
  return result ~= result and null or result
end

local UNITS <const> = { "B", "kB", "MB", "GB", "TB", "PB", "EB" }
local BINARY_UNITS <const> = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" }

function filters.filesizeformat(v, args)
  local label = "filter 'filesizeformat'"
  if mtype(v) ~= "integer" or v < 0 then fail.kind(label, "the value", v, "an integer from 0") end
  local names = fail.boolean(label, args, "binary", false) and BINARY_UNITS or UNITS
  local size, unit = v + 0.0, 1
  while size >= 1024 and unit < #names do
    size, unit = size / 1024, unit + 1
  end
  if size % 1 == 0 then return ("%d %s"):format(size, names[unit]) end
  return ("%.2f %s"):format(size, names[unit])
end

-- Several kinds --------------------------------------------------------------------------------

function filters.length(v, _, R)
  if type(v) == "string" then
    runtime.reserve(R, #v)
    return text.length(v)
  end
  if type(v) ~= "table" then
    fail.kind("filter 'length'", "the value", v, "an array, an object or a string")
  end
  if value.is_array(v) then return #v end
  local n = 0
  for _ in pairs(v) do n = n + 1 end
  runtime.charge(R, n // 8)
  return n
end

function filters.reverse(v, _, R)
  if type(v) == "string" then
    runtime.reserve(R, #v)
    return text.reverse(v)
  end
  if not value.is_array(v) then
    fail.kind("filter 'reverse'", "the value", v, "an array or a string")
  end
  local n = #v
  runtime.charge(R, n // 8)
  local list = {}
  for i = 1, n do list[i] = v[n + 1 - i] end
  return value.array(list)
end

function filters.json_encode(v, args, R)
  local pretty = args.pretty == true
  local encoded = encode.encode(v, pretty, function(n) runtime.charge(R, n) end)
  runtime.reserve(R, #encoded)
  return encoded
end

function filters.as_str(v, _, R)
  return print.text(v, R)
end

function filters.get(v, args)
  local label = "filter 'get'"
  local key = fail.string(label, args, "key")
  if not value.is_object(v) then fail.kind(label, "the value", v, "an object") end
  local found = v[key]
  if found == nil then found = args.default end
  if found == nil then fail.raise(("%s: the object has no key '%s'"):format(label, key)) end
  return found
end

function filters.date(v, args, R)
  -- Formatting takes as long as dozens of iterations.
  runtime.charge(R, 8 + (type(args.format) == "string" and #args.format or 0))
  return dates.filter(v, args)
end

return filters
