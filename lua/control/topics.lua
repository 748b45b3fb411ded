-- GET /topics: what is live on this node.
local hub = require "host.hub"
local web = require "web"


local function describe(topic)
  local latest, version = hub.latest(topic)
  return {
    topic = topic,
    subscribers = hub.count(topic),
    bytes = latest and #latest or nil,
    version = version,
  }
end


return {
  path = "/topics",
  GET = function(req)
    local items = web.array {}
    for i, topic in ipairs(hub.topics(req.query.prefix)) do items[i] = describe(topic) end
    table.sort(items, function(a, b)
      if a.subscribers ~= b.subscribers then return a.subscribers > b.subscribers end
      return a.topic < b.topic
    end)
    return web.json { items = items }
  end,
}
