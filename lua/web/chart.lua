-- Numbers as SVG path data. What is no finite number is drawn as zero, so that no value makes a
-- picture invalid.
local chart = {}

local MOST_POINTS = 2000


local function finite(value)
  if type(value) ~= "number" or value ~= value or value == math.huge or value == -math.huge then
    return 0
  end
  return value
end


-- One decimal is a tenth of a pixel.
local function number(value)
  local text = ("%.1f"):format(value)
  return (text:gsub("%.0$", ""))
end


--- The largest of the values, at least `floor`.
---@param values number[]
---@param floor number
---@return number
function chart.most(values, floor)
  local most = floor
  for _, value in ipairs(values) do most = math.max(most, finite(value)) end
  return most
end


--- A line through the values, the last one at the right edge. The scale begins at zero.
---@param values number[]
---@param width number
---@param height number
---@param slots integer points that fill the whole width
---@param most number the value at the top
---@return string
function chart.line(values, width, height, slots, most)
  local parts, count = {}, math.min(#values, MOST_POINTS)
  if count == 0 then return ("M0 %s"):format(number(height)) end
  local step, first = width / math.max(slots - 1, 1), #values - count
  for i = 1, count do
    local x = width - (count - i) * step
    local share = math.min(math.max(finite(values[first + i]) / most, 0), 1)
    parts[i] = number(x) .. " " .. number(height - share * height)
  end
  return "M" .. table.concat(parts, "L")
end


--- The area below such a line.
---@return string
function chart.area(values, width, height, slots, most)
  local count = math.min(#values, MOST_POINTS)
  if count == 0 then return "" end
  local left = width - (count - 1) * width / math.max(slots - 1, 1)
  return chart.line(values, width, height, slots, most)
    .. ("V%sH%sZ"):format(number(height), number(left))
end

return chart
