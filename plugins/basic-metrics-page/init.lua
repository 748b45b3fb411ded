-- A page for people with what /metrics has for machines: the last minutes as charts, the plugins,
-- and the counters. Drawn on the server, without a script; the browser loads it again by itself.
local metrics = require "host.metrics"
local time = require "host.time"

local SAMPLES <const> = 120

-- name, title, unit, and what to make of two samples
local CHARTS <const> = {
  { "requests", "Requests", "/s", "rate", "lunacast_requests_total" },
  { "viewers", "Viewers", "", "value", "lunacast_viewers" },
  { "websockets", "WebSockets", "", "value", "lunacast_websockets" },
  { "pictures", "Pictures sent", "/s", "rate", "lunacast_pictures_sent_total" },
  { "memory", "Memory", " MiB", "mebibytes", "process_resident_memory_bytes" },
  { "cpu", "CPU", " %", "percent", "process_cpu_seconds_total" },
}


local function sample(state)
  local now = { at = time.monotonic() }
  for _, chart in ipairs(CHARTS) do now[chart[1]] = metrics.get(chart[5]) or 0 end
  local last = state.last or now
  local passed = math.max(now.at - last.at, 0.001)
  for _, chart in ipairs(CHARTS) do
    local name, kind = chart[1], chart[4]
    local value = now[name]
    if kind == "rate" then value = math.max(0, value - last[name]) / passed end
    if kind == "percent" then value = math.max(0, value - last[name]) / passed * 100 end
    if kind == "mebibytes" then value = value / 1048576 end
    local list = state.history[name] or {}
    list[#list + 1] = value
    if #list > SAMPLES then table.remove(list, 1) end
    state.history[name] = list
  end
  state.last = now
end


-- Of the text for machines: plain counters and gauges, without series by label.
local function totals()
  local rows = {}
  for name, value in metrics.text():gmatch "\n([%a_][%w_]*) ([%d.e+-]+)" do
    if not name:find "_bucket$" then rows[#rows + 1] = { name = name, value = tonumber(value) } end
  end
  return rows
end


local function setup(plugin, config)
  local chart = plugin:use "chart"
  plugin.state = { history = {} }
  plugin:every(config.seconds, function() sample(plugin.state) end, { once_per = "worker" })

  plugin:route {
    path = config.path,
    GET = function()
      local charts = {}
      for i, one in ipairs(CHARTS) do
        local values = plugin.state.history[one[1]] or {}
        charts[i] = chart.line { values = values, title = one[2], unit = one[3], min = 0,
          width = 420, height = 170 }
      end
      local uptime = time.now() - (metrics.get "process_start_time_seconds" or time.now())
      return require("web").with(plugin:render("page.html", {
        charts = charts, plugins = require("web.plugins").list(), totals = totals(),
        seconds = config.seconds, uptime = math.floor(uptime),
      }), { ["Cache-Control"] = "no-store" })
    end,
  }
end

return {
  name = "basic-metrics-page",
  version = "1.0",
  summary = "a page with charts of the server's metrics",
  requires = { "chart" },
  config = {
    path = { type = "string", pattern = "/[a-z0-9/_.-]*", default = "/metrics/page" },
    seconds = { type = "integer", min = 1, max = 3600, default = 5 },
  },
  setup = setup,
  save = function(plugin) return plugin.state end,
  restore = function(plugin, state) plugin.state = state end,
}
