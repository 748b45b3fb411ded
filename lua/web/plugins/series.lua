-- Metrics of a plugin. Counts that were made stay; a gauge of a plugin that was taken away would be
-- a lie for ever, so what was set is remembered and set to 0.
local metrics = require "host.metrics"

local REMEMBERED <const> = 100 -- label sets of a gauge

local series = {}

local Gauge = {}
Gauge.__index = Gauge


local function key_of(labels)
  local parts = {}
  for name, value in pairs(labels) do parts[#parts + 1] = name .. "=" .. value end
  table.sort(parts)
  return table.concat(parts, ",")
end


--- Sets this worker's part; the workers are added up.
---@param value number
---@param labels? table<string, string>
function Gauge:set(value, labels)
  local key = labels and key_of(labels) or ""
  if not self.seen[key] and self.count < REMEMBERED then
    self.seen[key], self.count = labels or {}, self.count + 1
  end
  self.gauge:set(value, labels)
end


---@return table gauge
---@return fun() undo
function series.gauge(name, help)
  local gauge = setmetatable({ gauge = metrics.gauge(name, help), seen = {}, count = 0 }, Gauge)
  return gauge, function()
    for _, labels in pairs(gauge.seen) do gauge.gauge:set(0, labels) end
  end
end

series.counter, series.histogram = metrics.counter, metrics.histogram

return series
