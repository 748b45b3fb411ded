-- {{ 5 | scale(from=[0, 10], to=[0, 200]) }}: 100. A value of one range in another one: data to
-- pixels. `clamp=true` keeps it inside; `to=[200, 0]` turns it around, as the y of a picture needs.
local arguments = require "web.arguments"

local function range(args, name)
  local list = arguments.list(args, name)
  if #list ~= 2 or math.type(list[1]) == nil or math.type(list[2]) == nil then
    error(("`%s` must be two numbers, like [0, 100]"):format(name), 0)
  end
  return list[1], list[2]
end

---@param value number
---@param args { from: number[], to: number[], clamp: boolean? }
---@return number
return function(value, args)
  local x = arguments.number_value(value)
  local low, high = range(args, "from")
  local first, last = range(args, "to")
  if low == high then return first end
  local share = (x - low) / (high - low)
  if arguments.boolean(args, "clamp", false) then share = math.max(0, math.min(1, share)) end
  local result = first + share * (last - first)
  return math.tointeger(result) or result
end
