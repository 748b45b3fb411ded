-- Values as text, plain and escaped. Each form is a table that is indexed by the value: what was
-- printed before is one table read away, and generated code needs no call and no type check for
-- it. A miss lands in `__index`, which formats, and remembers short results.
--
-- Bounded: CACHE_ENTRIES results of values of at most CACHE_BYTES, then the table is emptied.
local value = require "web.template.value"
local number = require "web.template.number"

local print = {}

local CACHE_ENTRIES <const> = 8192
local CACHE_BYTES <const> = 40
local MAX_DEPTH <const> = 64

local null <const> = value.null
local type, next, rawset = type, next, rawset
local find, gsub, concat = string.find, string.gsub, table.concat

local entities = {
  ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#x27;",
  ["/"] = "&#x2F;",
}

--- The six characters of markup as entities.
---@param text string
---@return string
local function escape(text)
  if not find(text, "[&<>\"'/]") then return text end
  return (gsub(text, "[&<>\"'/]", entities))
end
print.escape = escape

local render

local function render_array(list, depth)
  if depth > MAX_DEPTH then error({ message = "an array nested too deeply to print" }, 0) end
  local pieces = {}
  for i = 1, #list do
    pieces[i] = render(list[i], depth + 1)
  end
  return "[" .. concat(pieces, ", ") .. "]"
end

function render(v, depth)
  local t = type(v)
  if t == "string" then return v end
  if t == "number" then return number.text(v) end
  if t == "boolean" then return v and "true" or "false" end
  if v == null then return "" end
  if t == "table" then
    if value.is_array(v) then return render_array(v, depth) end
    return "[object]"
  end
  error({ message = "a " .. (v == nil and "missing value" or t) .. " can't be printed" }, 0)
end

--- A value as text, unescaped.
---@param v any
---@return string
function print.text(v)
  return render(v, 1)
end

local function cacheable(v)
  local t = type(v)
  -- 0 and -0.0 are one key but two texts; NaN is no key.
  return t == "string" and #v <= CACHE_BYTES or t == "number" and v ~= 0 and v == v
    or t == "boolean" or v == null
end

--- A table from values to their texts.
---@param escaped boolean
---@return table<any, string>
function print.table(escaped)
  local count = 0
  local function miss(cache, v)
    local text = render(v, 1)
    if escaped then text = escape(text) end
    if cacheable(v) then
      if count >= CACHE_ENTRIES then
        count = 0
        for k in next, cache do cache[k] = nil end
      end
      count = count + 1
      rawset(cache, v, text)
    end
    return text
  end
  return setmetatable({}, { __index = miss })
end

return print
