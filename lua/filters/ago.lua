-- {{ created_at | ago }}: 3 minutes ago. A moment (Unix seconds, or text as `date` takes it) seen
-- from now, or from `now=`.
local arguments = require "web.arguments"
local dates = require "web.template.dates"
local time = require "host.time"

local units = { { 31536000, "year" }, { 2592000, "month" }, { 86400, "day" }, { 3600, "hour" },
  { 60, "minute" }, { 1, "second" } }

---@param value number|string
---@param args { now: number? }
---@return string
return function(value, args)
  local moment = dates.seconds(value)
  local distance = arguments.number(args, "now", time.now()) - moment
  local size = math.abs(distance)
  for _, unit in ipairs(units) do
    local n = math.floor(size / unit[1])
    if n >= 1 then
      local words = ("%d %s%s"):format(n, unit[2], n == 1 and "" or "s")
      return distance > 0 and words .. " ago" or "in " .. words
    end
  end
  return "now"
end
