-- {{ 3.14159 | fixed(digits=2) }}: always so many digits after the point.
local arguments = require "web.arguments"

---@param value number
---@param args { digits: integer? }
---@return string
return function(value, args)
  local digits = arguments.integer(args, "digits", 0, 15, 1)
  local text = ("%." .. digits .. "f"):format(arguments.number_value(value))
  -- No "-0.0": a rounded zero has no sign.
  if not text:find "[1-9]" then text = text:gsub("^%-", "") end
  return text
end
