-- What a template sees: null, booleans, integers, floats, strings, arrays and objects, each
-- distinct. Arrays are tables with host.json's array metatable, or with something at [1] (tables
-- that a script made); every other table is an object. A function or userdata is no value.
local json = require "host.json"

local value = {}

local null <const> = json.null
local array_mt <const> = json.array_mt
local type, getmetatable, setmetatable, rawget, next, pairs, mtype =
  type, getmetatable, setmetatable, rawget, next, pairs, math.type
local find, sort = string.find, table.sort

value.null = null

--- Marks a table as an array, so that it stays one when it is empty.
---@param t table
---@return table t
function value.array(t)
  return setmetatable(t, array_mt)
end

---@param v any
---@return boolean
local function is_array(v)
  return type(v) == "table" and (getmetatable(v) == array_mt or rawget(v, 1) ~= nil)
end
value.is_array = is_array

---@param v any
---@return boolean
function value.is_object(v)
  return type(v) == "table" and not is_array(v)
end

--- The kind of a value, as errors name it, with its article.
---@param v any
---@return string
function value.describe(v)
  local t = type(v)
  if t == "string" then
    if #v > 40 then return "a string of " .. #v .. " bytes" end
    return "the string \"" .. v .. "\""
  end
  if t == "number" then
    if mtype(v) == "integer" then return "the integer " .. v end
    return "the float " .. v
  end
  if t == "boolean" then return tostring(v) end
  if v == null then return "null" end
  if v == nil then return "nothing" end
  if t == "table" then return is_array(v) and "an array" or "an object" end
  return "a " .. t
end

--- The keys of an object in byte order, the order in which objects iterate and print.
---@param object table
---@return string[] keys, integer count
function value.keys(object)
  local keys, n = {}, 0
  for k in pairs(object) do
    if type(k) == "string" then
      n = n + 1
      keys[n] = k
    end
  end
  -- Byte order: the C locale's collation is strcmp, and strings with NUL are compared piecewise.
  sort(keys)
  return keys, n
end

--- An index written as text: no sign, no leading zero.
---@param text string
---@return integer?
local function index_of(text)
  if find(text, "^%d+$") and (#text == 1 or text:byte(1) ~= 48) and #text < 16 then
    return math.tointeger(text)
  end
end

--- One step of a path. Keys are strings or integers; arrays count from zero.
---@param t any
---@param k string|integer
---@return any
local function index(t, k)
  if type(t) ~= "table" or not k then return nil end
  if is_array(t) then
    if type(k) == "string" then k = index_of(k) end
    return k and rawget(t, k + 1)
  end
  if type(k) == "number" then k = ("%d"):format(k) end
  return t[k]
end
value.index = index

--- A dotted path in a value: `a.b.0.c`; "" is the value itself.
---@param v any
---@param path string
---@return any
function value.walk(v, path)
  for part in path:gmatch "[^.]+" do
    v = index(v, part)
    if v == nil then return nil end
  end
  return v
end

local MAX_DEPTH <const> = 64

local same

-- Every pair of values costs a step of the render R: a small template can build an array that
-- holds itself 2^60 times.
local function same_tables(a, b, depth, R)
  local a_list, b_list = is_array(a), is_array(b)
  if a_list ~= b_list then return false end
  if a_list then
    if #a ~= #b then return false end
    for i = 1, #a do
      if not same(a[i], b[i], depth + 1, R) then return false end
    end
    return true
  end
  for k, v in pairs(a) do
    local other = b[k]
    if other == nil or not same(v, other, depth + 1, R) then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

function same(a, b, depth, R)
  if a == b then return mtype(a) == mtype(b) end
  if type(a) ~= "table" or type(b) ~= "table" or depth > MAX_DEPTH then return false end
  R[2] = R[2] - 1
  if R[2] < 0 then R.tick(R) end
  return same_tables(a, b, depth, R)
end

--- Equality inside arrays and objects, for `in` and for filters: 1 and 1.0 differ.
---@param a any
---@param b any
---@param R table  the render that pays for it
---@return boolean
function value.same(a, b, R)
  return same(a, b, 1, R)
end

--- Equality of `==`: numbers by value, everything else as `same`.
---@param a any
---@param b any
---@param R table
---@return boolean
function value.equal(a, b, R)
  if a == b then return true end
  return type(a) == "table" and type(b) == "table" and same(a, b, 1, R)
end

--- False, 0, NaN, "", [], {}, null and undefined are false; all else is true.
---@param v any
---@return boolean
function value.truth(v)
  if not v or v == null or v == 0 or v == "" or v ~= v then return false end
  return type(v) ~= "table" or next(v) ~= nil
end

return value
