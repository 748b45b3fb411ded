-- How long from a saved file to the first request that its new code serves:
--   build/lunacast lua bench/reload.lua [SAVES] [WORKERS]
-- Requests come one after another on a connection of each worker's; the time runs from the rename
-- that an editor does to the first answer with the new text. The goal is a p99 below 100 ms, of
-- which 30 are the watch waiting for a burst of saves to end.
package.path = "./?.lua;" .. package.path

local http = require "spec.support.http"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"

local SAVES, WORKERS = tonumber(arg[1]) or 100, tonumber(arg[2]) or 2
local GOAL = 100
server.BINARY = os.getenv "SPEC_BIN" or "build/lunacast"

local ROUTE = 'return { path = "/word", GET = function() return { body = "%s" } end }'


local function save(app, word)
  local path = app.folder .. "/lua/routes/word.lua"
  local file = assert(io.open(path .. ".new", "wb"))
  file:write(ROUTE:format(word))
  file:close()
  assert(os.rename(path .. ".new", path))
end


local function percentile(times, p)
  return times[math.max(1, math.ceil(#times * p / 100))]
end


local function run()
  local app = server.start {
    files = { ["lua/routes/word.lua"] = ROUTE:format "w0" }, workers = WORKERS,
    set = { ["log.access"] = false },
  }
  local c, times = app:connect(), {}
  for n = 1, SAVES do
    wait.pause(0.02 + math.random() * 0.1)
    local began = wait.now()
    save(app, "w" .. n)
    repeat until http.ask(c, "GET", "/word").body == "w" .. n
    times[n] = (wait.now() - began) * 1000
  end
  c:close()
  app:stop()
  table.sort(times)
  local p99 = percentile(times, 99)
  print(("from save to served, %d saves, %d workers: p50 %.0f ms, p99 %.0f ms, most %.0f ms "
    .. "(goal: p99 below %d)"):format(SAVES, WORKERS, percentile(times, 50), p99, times[#times], GOAL))
  return p99 < GOAL and 0 or 1
end


local ok, code = pcall(run)
process.kill_all()
uv.walk(function(handle)
  if not handle:is_closing() then handle:close() end
end)
uv.run()
if not ok then error(code, 0) end
return code
