-- Values as text, as `{{ }}` prints them. Strings and numbers of the output are the business of
-- host.template; this is for everything else, and for filters.
local value = require "web.template.value"
local number = require "web.template.number"

local print = {}

local MAX_DEPTH <const> = 64
local MOST_VALUES <const> = 20000

local null <const> = value.null
local type = type
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

-- `room`: how many values may still be printed. An array can hold another one many times.
local function render_array(list, depth, room, R)
  if depth > MAX_DEPTH then
    error({ message = "an array nested too deeply to print", limit = "depth" }, 0)
  end
  room[1] = room[1] - #list
  if room[1] < 0 then
    error({ message = ("an array of more than %d values"):format(MOST_VALUES), limit = "steps" }, 0)
  end
  if R then
    R[2] = R[2] - #list
    if R[2] < 0 then R.tick(R) end
  end
  local pieces = {}
  for i = 1, #list do
    pieces[i] = render(list[i], depth + 1, room, R)
  end
  return "[" .. concat(pieces, ", ") .. "]"
end

function render(v, depth, room, R)
  local t = type(v)
  if t == "string" then return v end
  if t == "number" then return number.text(v) end
  if t == "boolean" then return v and "true" or "false" end
  if v == null then return "" end
  if t == "table" then
    if value.is_array(v) then return render_array(v, depth, room or { MOST_VALUES }, R) end
    return "[object]"
  end
  error({ message = "a " .. (v == nil and "missing value" or t) .. " can't be printed" }, 0)
end

--- A value as text, unescaped.
---@param v any
---@param R table?  the render that pays for it
---@return string
function print.text(v, R)
  return render(v, 1, nil, R)
end

return print
