-- GET /upstreams: the servers behind proxies, and what this process knows of them.
local gateway = require "host.gateway"
local web = require "web"

return {
  path = "/upstreams",
  GET = function()
    local items = web.array {}
    for _, set in ipairs(gateway.upstreams()) do
      for _, peer in ipairs(set.peers) do
        peer.set = set.name
        items[#items + 1] = peer
      end
    end
    table.sort(items, function(a, b)
      if a.url ~= b.url then return a.url < b.url end
      return a.set < b.set
    end)
    return web.json { items = items }
  end,
}
