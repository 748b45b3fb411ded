---@meta host.metrics

--- What the process counts. A script declares its own once, at the top of a file:
---   local jobs = metrics.counter("jobs_total", "Jobs done.")
---   jobs:inc(1, { kind = "mail" })
local metrics = {}

---@class host.Counter
local counter = {}
---@class host.Gauge
local gauge = {}
---@class host.Histogram
local histogram = {}

--- All metrics as Prometheus text.
---@return string
function metrics.text() end

--- The sum over all workers and labels; of a histogram, the number of observations. Nil: no such name.
---@param name string "lunacast_viewers"
---@return number|nil
function metrics.get(name) end

--- Declares (or finds) a counter. Names are letters, digits and "_"; those that begin with lunacast_
--- and process_ are the host's. A declaration as another type raises.
---@param name string
---@param help? string
---@return host.Counter
function metrics.counter(name, help) end

---@param name string
---@param help? string
---@return host.Gauge
function metrics.gauge(name, help) end

---@param name string
---@param help? string
---@return host.Histogram
function metrics.histogram(name, help) end

---@param by? number 1 when absent
---@param labels? table<string, string> at most 8
function counter:inc(by, labels) end

--- Sets this worker's part; the workers are added up.
---@param value number
---@param labels? table<string, string>
function gauge:set(value, labels) end

---@param seconds number
---@param labels? table<string, string>
function histogram:observe(seconds, labels) end

return metrics
