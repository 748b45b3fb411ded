-- Values as JSON for `json_encode` and `__tera_context`: keys in byte order, floats that show that
-- they are floats, non-ASCII and `/` as they are, compact or with two spaces.
local number = require "web.template.number"
local value = require "web.template.value"

local encode = {}

local MAX_DEPTH <const> = 64
-- A value that costs a step for every so many bytes and items.
local COST <const> = 16

local null <const> = value.null
local type, concat, format, gsub, rep = type, table.concat, string.format, string.gsub, string.rep

local escapes = {
  ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\b"] = "\\b",
  ["\f"] = "\\f",
}

local function quote(text)
  return '"' .. gsub(text, '[%z\1-\31"\\]', function(c)
    return escapes[c] or format("\\u%04x", c:byte())
  end) .. '"'
end

local write

local function write_items(state, open, close, count, depth, item)
  if count == 0 then return open .. close end
  local out = {}
  for i = 1, count do out[i] = item(i) end
  if not state.pretty then return open .. concat(out, ",") .. close end
  local pad = rep("  ", depth)
  return open .. "\n" .. pad .. concat(out, ",\n" .. pad) .. "\n" .. rep("  ", depth - 1) .. close
end

function write(state, v, depth)
  local t = type(v)
  if t == "string" then
    state.spend(#v)
    return quote(v)
  end
  if t == "number" then return number.json(v) end
  if t == "boolean" then return tostring(v) end
  if v == null then return "null" end
  if t ~= "table" then error({ message = "a " .. t .. " can't be written as JSON" }, 0) end
  if depth > MAX_DEPTH then error({ message = "a value nested too deeply for JSON" }, 0) end
  if value.is_array(v) then
    state.spend(#v)
    return write_items(state, "[", "]", #v, depth, function(i)
      return write(state, v[i], depth + 1)
    end)
  end
  local keys, n = value.keys(v)
  state.spend(n)
  local colon = state.pretty and ": " or ":"
  return write_items(state, "{", "}", n, depth, function(i)
    return quote(keys[i]) .. colon .. write(state, v[keys[i]], depth + 1)
  end)
end

--- A value as JSON.
---@param v any
---@param pretty boolean
---@param charge fun(steps: integer)  pays for the work; raises when there is nothing left
---@return string
function encode.encode(v, pretty, charge)
  local spent = 0
  local function spend(n)
    spent = spent + n
    if spent > COST then
      charge(spent // COST)
      spent = 0
    end
  end
  return write({ pretty = pretty, spend = spend }, v, 1)
end

return encode
