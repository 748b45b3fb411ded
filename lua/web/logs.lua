-- Kinds of lines that somebody collects on their own: each has the field `kind`, by which the
-- setting log.folder parts them into files, and a counter.
--   auth          who logged in, out, failed, was refused; never a secret
--   performance   what took long
-- The host writes the kinds api (one line per request), performance (turns that held a worker, slow
-- statements) and error (all of the level error).
local log = require "host.log"
local metrics = require "host.metrics"

local logs = {}

local auth_events = metrics.counter("auth_events_total", "Logins, refreshes, logouts, refusals.")
local slow_events = metrics.counter("slow_events_total", "What took longer than it should.")


local function line(kind, event, fields)
  local copy = { kind = kind, event = event }
  for name, value in pairs(fields or {}) do copy[name] = value end
  log.info(kind .. ": " .. event, copy)
end


---@param event string a stable word
---@param fields? table<string, any>
function logs.auth(event, fields)
  auth_events:inc(1, { event = event })
  line("auth", event, fields)
end


---@param event string a stable word
---@param fields? table<string, any>
function logs.performance(event, fields)
  slow_events:inc(1, { event = event })
  line("performance", event, fields)
end

return logs
