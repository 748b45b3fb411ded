-- {{ 130 | clamp(min=0, max=100) }}: 100. A number that stays between two others.
local arguments = require "web.arguments"

---@param value number
---@param args { min: number?, max: number? }
---@return number
return function(value, args)
  local x = arguments.number_value(value)
  if args.min and args.max and args.min > args.max then error("`min` is above `max`", 0) end
  if args.min and x < arguments.number(args, "min") then return args.min end
  if args.max and x > arguments.number(args, "max") then return args.max end
  return x
end
