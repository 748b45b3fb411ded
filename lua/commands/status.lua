local server = require "cli.server"
local trouble = require "cli.trouble"
local units = require "cli.units"


local function store_text(store)
  if not store.ok then return ("%s, can't be reached: %s"):format(store.driver, store.message) end
  if not store.keys then return store.driver end
  return ("%s, %d keys, %s"):format(store.driver, store.keys, units.bytes(store.bytes))
end


local function draining_text(draining)
  if draining.vms == 0 then return "nothing" end
  return ("%d requests on %d old sets of scripts"):format(draining.requests, draining.vms)
end


local function print_summary(call, status)
  local scripts = status.scripts
  call:fields({
    server = ("lunacast %s, up %s%s"):format(status.version, units.span(status.uptime),
      status.stopping and ", stopping" or ""),
    scripts = ("generation %d since %s"):format(scripts.generation, units.moment(scripts.since)),
    draining = draining_text(status.draining),
    memory = ("%s, of it Lua %s"):format(units.bytes(status.memory.resident),
      units.bytes(status.memory.lua)),
    connections = ("%d, of them %d viewers, %d WebSockets"):format(status.connections,
      status.viewers, status.websockets),
    store = store_text(status.store),
    redis = status.redis and ("%d links, %d reconnects"):format(status.redis.links,
      status.redis.reconnects) or "not used",
  }, { "server", "scripts", "draining", "memory", "connections", "store", "redis" })
end


local function print_workers(call, workers)
  local rows = {}
  for i, worker in ipairs(workers) do
    rows[i] = {
      worker = i - 1, connections = worker.connections, websockets = worker.websockets,
      tasks = worker.tasks, lua = units.bytes(worker.lua_memory),
      longest_turn = ("%.1f ms"):format(worker.longest_turn_us / 1000),
    }
  end
  call:say ""
  call:list(rows, { "worker", "connections", "websockets", "tasks", "lua", "longest_turn" })
end


return {
  summary = "how the running server is: scripts, workers, memory, store",
  usage = "status [DIR] [--json]",
  about = "Exit code 1 when no server runs, when its scripts are wrong, or when it has no store.",
  lists = true,
  examples = { "lunacast status", "lunacast status shop --json | jq .memory" },
  run = function(call)
    local status = server.ask("GET", "/status", { timeout = 10 })
    local wrong = status.scripts.error
    if call.json then
      call:record(status)
    else
      print_summary(call, status)
      print_workers(call, status.workers)
    end
    if wrong then
      call:note("\nthe files are wrong since %s, %s:\n%s",
        units.moment(status.scripts.failed_since), status.scripts.standing_in
          and "nothing is served yet" or "the scripts of before serve on", trouble(wrong))
    end
    return (wrong or not status.store.ok) and 1 or 0
  end,
}
