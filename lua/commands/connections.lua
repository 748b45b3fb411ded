local server = require "cli.server"
local units = require "cli.units"

local FILTERS = { "id", "user", "tenant", "topic", "limit" }


local function query_of(call)
  local parts = {}
  for _, name in ipairs(FILTERS) do
    local value = call.options[name]
    if value then parts[#parts + 1] = name .. "=" .. server.escape(value) end
  end
  if call.options.nodes then parts[#parts + 1] = "nodes=1" end
  return #parts > 0 and "?" .. table.concat(parts, "&") or ""
end


-- Why a connection is behind, as far as the server can know.
local function why(row)
  if row.queued == 0 then return "up to date" end
  return ("%s wait: it reads more slowly than its topics speak"):format(units.bytes(row.queued))
end


local function row_of(c)
  return {
    id = c.id, transport = c.transport, worker = c.worker, user = c.user, peer = c.peer,
    open = units.span(os.time() - c.opened), queued = units.bytes(c.queued), sent = c.delivered,
    topics = c.topics, state = why(c),
  }
end


return {
  summary = "who is connected, the slowest first, and why one is slow",
  usage = "connections [DIR] [--user USER] [--topic TOPIC] [--json]",
  about = [[
Streams and WebSockets of the running server. `queued` is what waits since the client does not read
it; what happens when it is too much is its topic's policy for slow clients.]],
  lists = true,
  options = {
    { "id", "ID", help = "one connection" },
    { "user", "USER", help = "of this user" },
    { "tenant", "TENANT", help = "of this tenant" },
    { "topic", "TOPIC", help = "subscribed to this topic" },
    { "limit", "N", help = "at most so many of each worker (default: 1000)" },
    { "nodes", help = "of all nodes" },
  },
  examples = { "lunacast connections", "lunacast connections --user ada --json" },
  run = function(call)
    local answer = server.ask("GET", "/connections" .. query_of(call))
    if call.json then return call:list(answer.items, {}) end
    local rows = {}
    for i, c in ipairs(answer.items) do rows[i] = row_of(c) end
    call:list(rows, { "id", "transport", "worker", "user", "peer", "open", "sent", "queued",
      "state", "topics" }, "no connections")
    if not answer.whole then call:note "a node has not answered in time" end
  end,
}
