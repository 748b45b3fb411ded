-- {{ 1536 | bytes }}: 1.5 KiB. Sizes as people read them; `decimal=true` counts in thousands.
local arguments = require "web.arguments"

local binary = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" }
local decimal = { "B", "kB", "MB", "GB", "TB", "PB", "EB" }

---@param value number
---@param args { decimal: boolean?, digits: integer? }
---@return string
return function(value, args)
  local size = arguments.number_value(value) + 0.0
  local in_thousands = arguments.boolean(args, "decimal", false)
  local digits = arguments.integer(args, "digits", 0, 6, 1)
  local step, units = in_thousands and 1000 or 1024, in_thousands and decimal or binary
  local unit = 1
  while math.abs(size) >= step and unit < #units do
    size, unit = size / step, unit + 1
  end
  local text = ("%." .. (unit == 1 and 0 or digits) .. "f"):format(size)
  if text:find(".", 1, true) then text = text:gsub("%.?0+$", "") end
  return text .. " " .. units[unit]
end
