-- From values to pixels: finite numbers, round ticks, short labels.
local scale = {}

local MOST_POINTS <const> = 2000
local LARGEST <const>, SMALLEST <const> = 1e100, 1e-100 -- beyond, steps would be infinite or zero


--- The values with `false` for what is no finite number; the newest of too many.
---@param list any[]
---@return (number|false)[]
function scale.clean(list)
  local made, first = {}, math.max(0, #list - MOST_POINTS)
  for i = first + 1, #list do
    local v = list[i]
    local good = math.type(v) and v == v and v > -math.huge and v < math.huge
    if good and math.abs(v) < SMALLEST then v = 0 end
    made[#made + 1] = good and math.max(-LARGEST, math.min(LARGEST, v)) + 0.0 or false
  end
  return made
end


--- Least and most of several lists; nil where there is no value.
function scale.extent(lists)
  local low, high
  for _, list in ipairs(lists) do
    for _, v in ipairs(list) do
      if v then low, high = math.min(low or v, v), math.max(high or v, v) end
    end
  end
  return low, high
end


-- 1, 2, 2.5 or 5 times a power of ten, at least `rough`.
local function round_step(rough)
  local power = 10.0 ^ math.floor(math.log(rough, 10))
  for _, factor in ipairs { 1, 2, 2.5, 5 } do
    if factor * power >= rough * 0.999 then return factor * power end
  end
  return 10 * power
end


--- Round numbers around low..high: { low, high, step, ticks }. Begins at zero where that is near.
---@param low number|nil
---@param high number|nil
---@param count integer about so many steps
---@param args { min?: number, max?: number }
function scale.nice(low, high, count, args)
  low, high = low or 0, high or 1
  if low > 0 and low < high * 0.6 or low == high and low > 0 then low = 0 end
  if high < 0 and high > low * 0.6 or low == high and high < 0 then high = 0 end
  local fixed = scale.clean { args.min or "", args.max or "" }
  low, high = fixed[1] or low, fixed[2] or high
  if high <= low then high = low + math.max(1, math.abs(low) * 0.1) end
  local step = round_step((high - low) / count)
  if not fixed[1] then low = math.floor(low / step + 1e-9) * step end
  if not fixed[2] then high = math.ceil(high / step - 1e-9) * step end
  local ticks, n = {}, math.min(20, math.floor((high - low) / step + 1e-6))
  for i = 0, n do ticks[i + 1] = low + i * step end
  return { low = low, high = high, step = step, ticks = ticks }
end


--- 12345.6 -> "12.3k"; as many decimals as the step needs.
---@param value number
---@param step? number
---@return string
function scale.label(value, step)
  for _, unit in ipairs { { 1e12, "T" }, { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" } } do
    if math.abs(value) >= unit[1] * 10 or math.abs(value) >= unit[1] and unit[1] > 1e3 then
      if math.abs(value) >= 1e16 then return ("%.2g"):format(value) end
      return (("%.1f"):format(value / unit[1]):gsub("%.0$", "")) .. unit[2]
    end
  end
  if step and step < 1e-6 then return ("%.3g"):format(value) end
  local digits = step and math.max(0, -math.floor(math.log(math.abs(step), 10) + 1e-9)) or 2
  if step and step % 1 ~= 0 then digits = digits + 1 end
  local text = ("%." .. math.min(digits, 6) .. "f"):format(value)
  if text:find("%.", 1) then text = text:gsub("0+$", ""):gsub("%.$", "") end
  return text == "-0" and "0" or text
end


--- Pixels with one decimal.
---@param value number
---@return string
function scale.px(value)
  return (("%.1f"):format(value):gsub("%.0$", ""):gsub("^%-0$", "0"))
end

return scale
