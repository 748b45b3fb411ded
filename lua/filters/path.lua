-- <path d="{{ points | path }}"/>: the `d` of an SVG path through points: [x, y] or { x, y } each,
-- or plain numbers, which are y, `step` apart.
local arguments = require "web.arguments"

local MOST_POINTS <const> = 20000

local function number(v, i)
  if math.type(v) == nil or v ~= v then
    error(("point %d has no two numbers"):format(i - 1), 0)
  end
  return v
end

local function coordinates(point, i, step)
  if math.type(point) then return (i - 1) * step, number(point, i) end
  if type(point) ~= "table" then error(("point %d is no point"):format(i - 1), 0) end
  return number(point.x or point[1], i), number(point.y or point[2], i)
end

local function rounded(x, form)
  local text = form:format(x)
  if text:find(".", 1, true) then text = text:gsub("%.?0+$", "") end
  return text == "-0" and "0" or text
end

---@param value table
---@param args { step: number?, digits: integer?, closed: boolean? }
---@return string
return function(value, args)
  if type(value) ~= "table" then error("the value must be an array of points", 0) end
  if #value > MOST_POINTS then error(("at most %d points"):format(MOST_POINTS), 0) end
  local step = arguments.number(args, "step", 1)
  local form = "%." .. arguments.integer(args, "digits", 0, 6, 2) .. "f"
  local pieces = {}
  for i = 1, #value do
    local x, y = coordinates(value[i], i, step)
    pieces[i] = (i == 1 and "M" or "L") .. rounded(x, form) .. " " .. rounded(y, form)
  end
  if arguments.boolean(args, "closed", false) and #pieces > 0 then pieces[#pieces + 1] = "Z" end
  return table.concat(pieces)
end
