-- The demo: a public session that draws the server itself, updated every second. An ordinary script
-- of an application: it samples the metrics, keeps two minutes of them, and changes the arguments
-- of one session. Of several nodes the one that holds the lease does it. Switched by the setting
-- demo.
local chart = require "web.chart"
local config = require "host.config"
local file = require "host.file"
local ids = require "pictures.ids"
local lease = require "web.lease"
local log = require "host.log"
local metrics = require "host.metrics"
local sessions = require "pictures.sessions"
local time = require "host.time"

local SESSION = "demo"
local LEASE, LEASE_SECONDS = "demo", 3
local SLOTS, FIRST_SLOTS = 120, 20 -- seconds that a chart shows; it begins with fewer
local TILE = { first = 32, step = 229, width = 173, height = 18 }
local MEBIBYTE = 1024 * 1024

local history = { viewers = {}, pictures = {}, memory = {}, lag = {} }
local before ---@type table|nil the sample of a second ago


-- True while this process is the one that draws. Its name is the time of its start, which stays
-- when scripts are reloaded.
local function hold_lease()
  local node = ("%.3f"):format(metrics.get "process_start_time_seconds" or 0)
  return lease.take(LEASE, LEASE_SECONDS, { holder = node }) ~= nil
end


local function counters()
  return {
    at = time.monotonic(),
    pictures = metrics.get "lunacast_pictures_sent_total" or 0,
    requests = metrics.get "lunacast_requests_total" or 0,
    cpu = metrics.get "process_cpu_seconds_total" or 0,
  }
end


local function remember(list, value)
  list[#list + 1] = value
  if #list > SLOTS then table.remove(list, 1) end
end


-- Rates since the last sample.
local function sample()
  local now = counters()
  local past = before or now
  local seconds = math.max(now.at - past.at, 0.001)
  before = now
  remember(history.viewers, metrics.get "lunacast_viewers" or 0)
  remember(history.pictures, (now.pictures - past.pictures) / seconds)
  remember(history.memory, (metrics.get "process_resident_memory_bytes" or 0) / MEBIBYTE)
  remember(history.lag, (metrics.get "lunacast_loop_lag_seconds" or 0) * 1000)
  return {
    requests = (now.requests - past.requests) / seconds,
    cpu = (now.cpu - past.cpu) / seconds * 100,
  }
end


-- 12345.6 -> "12.3k", 3.14159 -> "3.1", 7.0 -> "7"
local function short(value)
  local unit = ""
  for _, next_unit in ipairs { "k", "M", "G" } do
    if value < 1000 then break end
    value, unit = value / 1000, next_unit
  end
  return (("%.1f"):format(value):gsub("%.0$", "")) .. unit
end


local function span(seconds)
  seconds = math.floor(seconds)
  local days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
  if days > 0 then return ("%d d %d h"):format(days, hours) end
  if hours > 0 then return ("%d h %d min"):format(hours, minutes) end
  if minutes > 0 then return ("%d min %d s"):format(minutes, seconds % 60) end
  return ("%d s"):format(seconds)
end


local function slots(values)
  return math.max(#values, FIRST_SLOTS)
end


local function tile(index, name, values, unit, floor)
  local most = chart.most(values, floor) * 1.05
  return {
    x = TILE.first + (index - 1) * TILE.step,
    name = name,
    value = short(values[#values]),
    unit = unit,
    line = chart.line(values, TILE.width, TILE.height, slots(values), most),
  }
end


local function arguments(rates)
  local now = time.now()
  local pictures, most = history.pictures, chart.most(history.pictures, 1) * 1.05
  local started = metrics.get "process_start_time_seconds" or now
  return {
    clock = os.date("!%H:%M:%S", math.floor(now)),
    uptime = span(now - started),
    tiles = {
      tile(1, "viewers", history.viewers, "", 1),
      tile(2, "pictures", pictures, "/s", 1),
      tile(3, "memory", history.memory, "MiB", 1),
      tile(4, "loop lag", history.lag, "ms", 1),
    },
    line = chart.line(pictures, 860, 110, slots(pictures), most),
    area = chart.area(pictures, 860, 110, slots(pictures), most),
    most = short(most / 1.05),
    footer = ("%s requests/s · %s %% CPU · drawn by its own template, sent to every viewer at once")
      :format(short(rates.requests), short(rates.cpu)),
  }
end


local function draw(template, args)
  local rec = sessions.find(ids.key(nil, SESSION))
  if rec and rec.template ~= template then
    sessions.delete(nil, SESSION)
    rec = nil
  end
  if rec then return sessions.replace(nil, SESSION, args) end
  return sessions.create(nil,
    { session_id = SESSION, template = template, args = args, expire = "never" })
end


return function()
  if not config.get "demo" then return end
  local template = assert(file.source "templates/demo.svg", "templates/demo.svg is missing")
  local failing = false
  while true do
    local rates = sample()
    local ok, err = pcall(function()
      if hold_lease() then draw(template, arguments(rates)) end
    end)
    if not ok and not failing then
      log.warn("the demo's picture can't be drawn now", { error = tostring(err) })
    end
    failing = not ok
    time.sleep(1)
  end
end
