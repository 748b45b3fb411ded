-- GET /connections: who is connected to this node, the slowest first.
local check = require "web.check"
local hub = require "host.hub"
local web = require "web"

local LIMIT, MOST = 1000, 10000


return {
  path = "/connections",
  GET = function(req)
    local query = req.query
    local list, whole = hub.connections {
      id = query.id, user = query.user, tenant = query.tenant, topic = query.topic,
      limit = check.integer(query.limit, "limit", LIMIT, 1, MOST), nodes = query.nodes == "1",
    }
    table.sort(list, function(a, b)
      if a.queued ~= b.queued then return a.queued > b.queued end
      return a.opened < b.opened
    end)
    return web.json { items = web.array(list), whole = whole }
  end,
}
