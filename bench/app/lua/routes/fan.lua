-- A topic whose every message counts, by each transport.
local hub = require "host.hub"
local web = require "web"

local LOG = { mode = "log" }

return {
  {
    path = "/fan",
    POST = function(req)
      hub.publish("fan", req.body, LOG)
      return web.empty()
    end,
  },
  {
    path = "/fan/sse",
    GET = function()
      return web.sse("fan", LOG)
    end,
  },
  {
    path = "/fan/ws",
    WS = {
      open = function(ws)
        ws:subscribe("fan", LOG)
      end,
    },
  },
}
