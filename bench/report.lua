-- From raw numbers ("metric peer value", one line per round) to rows of README's table, and to
-- FOLDER/NAME.json; for bench/run (without NAME: results) also to a chart drawn by
-- templates/bench.svg.
--   lunacast lua bench/report.lua RAW FOLDER [NAME]
local json = require "host.json"
local template = require "web.template"
local time = require "host.time"

local raw, folder, kind = arg[1], arg[2], arg[3] or "results"

-- goals: { peer or false for the number itself, at most; with `least`: at least }
local METRICS = {
  { key = "text", name = "a Lua route answering a short text", unit = "CPU µs per request",
    goals = { { "nginx+lua", 0.85 }, { "floor", 1.25 } } },
  { key = "json", name = "a JSON body decoded and one encoded", unit = "CPU µs per request",
    goals = { { "nginx+lua", 0.9 } } },
  { key = "fan", name = "a picture delivered", unit = "CPU µs per viewer",
    goals = { { "floor", 1.15 }, { "nchan", 1 } } },
  { key = "last", name = "from PUT to the last viewer", unit = "ms, p99",
    goals = { { "floor", 1.3 } } },
  { key = "memory", name = "an idle viewer", unit = "KiB resident",
    goals = { { false, 3 } } },
  { key = "sse_fan", name = "an event (SSE) delivered", unit = "CPU µs per subscriber",
    goals = { { "floor", 1.15 }, { "nchan", 1 } } },
  { key = "ws_fan", name = "a WebSocket message delivered", unit = "CPU µs per subscriber",
    goals = { { "floor", 1.15 }, { "nchan", 1 } } },
  { key = "deflate_fan", name = "the same compressed once for all", unit = "CPU µs per subscriber",
    goals = { { "plain", 1.3 } } },
  { key = "flight", name = "a WebSocket delivery, 64 messages under way", unit = "µs",
    goals = { { "nchan", 1 / 3 } } },
  { key = "flight_redis", name = "the same through Redis", unit = "µs",
    goals = { { "direct", 1.3 } } },
  { key = "ws_memory", name = "an idle WebSocket", unit = "KiB resident",
    goals = { { false, 3 } } },
  { key = "token", name = "a repeated token verified", unit = "µs", goals = { { false, 3 } } },
  { key = "token_new", name = "a new RS256 token verified", unit = "µs",
    goals = { { "openssl", 1.3 } } },
  { key = "start", name = "from start to ready", unit = "ms", goals = { { false, 50 } } },
  { key = "proxied", name = "a short answer proxied", unit = "CPU µs per request",
    goals = { { "nginx", 1.15 } } },
  { key = "proxied_event", name = "an event (SSE) proxied, 1,000 streams", unit = "CPU µs per event",
    goals = { { "nginx", 1 } } },
  { key = "age", name = "the age of an event that arrives", unit = "ms, p99", goals = {} },
  { key = "added", name = "of which the proxy has added", unit = "ms, p99", goals = { { false, 1 } } },
  { key = "download", name = "a download of 100 MiB through", unit = "KiB more",
    goals = { { false, 256 } } },
  { key = "read", name = "`GET /posts/{id}` with a token, not cached", unit = "per CPU second",
    goals = { { "FastAPI", 10, least = true } } },
  { key = "page", name = "`GET /posts`, cached", unit = "per CPU second",
    goals = { { "FastAPI", 20, least = true } } },
  { key = "write", name = "`POST /posts`, durable", unit = "per CPU second",
    goals = { { "FastAPI", 5, least = true } } },
  { key = "refresh", name = "`POST /auth/refresh`", unit = "per CPU second",
    goals = { { "FastAPI", 10, least = true } } },
  { key = "beside", name = "reading a post while 32 logins hash", unit = "ms, p99",
    goals = { { false, 20 } } },
}
local PEERS = { "lunacast", "nginx+lua", "nginx", "nchan", "floor", "plain", "direct", "openssl",
  "FastAPI" }


local function read()
  local found = {}
  for line in assert(io.lines(raw)) do
    local metric, peer, value = line:match "^(%S+) (%S+) (%S+)$"
    found[metric] = found[metric] or {}
    found[metric][peer] = found[metric][peer] or {}
    table.insert(found[metric][peer], (assert(tonumber(value), line)))
  end
  return found
end


local function median(values)
  table.sort(values)
  local n = #values
  return n % 2 == 1 and values[n // 2 + 1] or (values[n // 2] + values[n // 2 + 1]) / 2
end


local function summarize(found)
  local results = {}
  for _, metric in ipairs(METRICS) do
    local result = { key = metric.key, name = metric.name, unit = metric.unit, medians = {}, rounds = {},
      goals = {} }
    for peer, values in pairs(found[metric.key] or {}) do
      result.medians[peer] = median(values)
      result.rounds[peer] = #values
    end
    local ours = result.medians.lunacast
    for _, goal in ipairs(ours and metric.goals or {}) do
      local peer, bound = goal[1] or nil, goal[2]
      local value = peer and ours / result.medians[peer] or ours
      table.insert(result.goals, { peer = peer, bound = bound, least = goal.least, value = value,
        met = goal.least and value >= bound or not goal.least and value <= bound })
    end
    if ours then results[#results + 1] = result end
  end
  return results
end


-- Three digits; from a thousand on all of them, in groups.
local function number(value)
  if value < 1000 then return ("%.3g"):format(value) end
  local groups = ("%.0f"):format(value):reverse():gsub("%d%d%d", "%0,"):reverse()
  return (groups:gsub("^,", ""))
end


local function goal_text(goal, unit)
  local verdict = goal.met and "" or " **missed**"
  local bound = ("at %s %.3g"):format(goal.least and "least" or "most", goal.bound)
  if not goal.peer then return ("%s %s%s"):format(bound, unit, verdict) end
  return ("%s × %s (%s)%s"):format(goal.least and number(goal.value) or ("%.2f"):format(goal.value),
    goal.peer, bound, verdict)
end


local function print_table(results)
  print "| what | unit | lunacast | peers | ratio and goal |"
  print "|---|---|---|---|---|"
  for _, result in ipairs(results) do
    local peers, goals = {}, {}
    for _, peer in ipairs(PEERS) do
      local value = result.medians[peer]
      if value and peer ~= "lunacast" then peers[#peers + 1] = peer .. " " .. number(value) end
    end
    for _, goal in ipairs(result.goals) do goals[#goals + 1] = goal_text(goal, result.unit) end
    print(("| %s | %s | %s | %s | %s |"):format(result.name, result.unit,
      number(result.medians.lunacast), table.concat(peers, ", "), table.concat(goals, ", ")))
  end
end


local function chart(results, machine)
  local groups, y = {}, 56
  for _, result in ipairs(results) do
    local most, bars = 0, {}
    for _, value in pairs(result.medians) do most = math.max(most, value) end
    for _, peer in ipairs(PEERS) do
      local value = result.medians[peer]
      if value then
        local width = math.max(2, value / most * 520)
        bars[#bars + 1] = { name = peer, class = peer == "lunacast" and "ours" or "peer",
          y = 24 + #bars * 22, width = ("%.1f"):format(width), label = ("%.1f"):format(width + 108),
          value = number(value) }
      end
    end
    if #bars > 0 then
      groups[#groups + 1] = { name = result.name, unit = result.unit, y = y, bars = bars }
      y = y + 24 + #bars * 22 + 18
    end
  end
  local file = assert(io.open "templates/bench.svg")
  local draw = assert(template.environment({ autoescape = true }):compile(file:read "a", "bench.svg"))
  file:close()
  return assert(draw { title = "less is better; " .. machine, height = y, groups = groups })
end


local function first_match(path, pattern)
  local file = io.open(path)
  local text = file and file:read "a" or ""
  if file then file:close() end
  return text:match(pattern) or "unknown"
end


local function write(name, text)
  local file = assert(io.open(folder .. "/" .. name, "w"))
  file:write(text)
  file:close()
end

local results = summarize(read())
local machine = first_match("/proc/cpuinfo", "model name%s*:%s*([^\n]+)")
write(kind .. ".json", json.encode({ time = time.iso8601(), machine = machine, results = results },
  { pretty = true, sort = true }) .. "\n")
print_table(results)
if kind == "results" then write("bench.svg", chart(results, machine)) end
