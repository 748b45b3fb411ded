-- GET /status: how the server is: its scripts, workers, connections, store.
local config = require "host.config"
local control = require "host.control"
local dev = require "web.dev"
local json = require "host.json"
local metrics = require "host.metrics"
local redis = require "host.redis"
local source = require "web.source"
local store = require "host.store"
local time = require "host.time"
local web = require "web"


local function sum(workers, field)
  local total = 0
  for _, worker in ipairs(workers) do total = total + worker[field] end
  return total
end


local function scripts()
  local state = control.state()
  return {
    generation = state.generation,
    since = state.since,
    failed_since = state.failed_since,
    standing_in = dev.standing_in,
    error = state.error and source.explain(state.error),
  }
end


local function the_store()
  local reached, message = store.ping()
  return {
    driver = store.name,
    ok = reached == true,
    message = not reached and message or nil,
    keys = store.name == "embedded" and metrics.get "lunacast_store_keys" or nil,
    bytes = store.name == "embedded" and metrics.get "lunacast_store_bytes" or nil,
  }
end


local function the_redis()
  if not redis.configured then return nil end
  return {
    links = metrics.get "lunacast_redis_connected" or 0,
    reconnects = metrics.get "lunacast_redis_reconnects_total" or 0,
  }
end


return {
  path = "/status",
  GET = function()
    local workers = control.workers()
    local started = metrics.get "process_start_time_seconds" or 0
    return web.json {
      version = control.version,
      started = started,
      uptime = time.now() - started,
      dev = config.get "dev",
      listen = config.get "listen",
      stopping = control.state().stopping,
      scripts = scripts(),
      draining = {
        vms = sum(workers, "draining_vms"), requests = sum(workers, "draining_tasks"),
      },
      workers = json.array(workers),
      memory = {
        resident = metrics.get "process_resident_memory_bytes",
        lua = metrics.get "lunacast_lua_memory_bytes",
      },
      connections = metrics.get "lunacast_connections",
      viewers = metrics.get "lunacast_viewers",
      websockets = metrics.get "lunacast_websockets",
      store = the_store(),
      redis = the_redis(),
    }
  end,
}
