-- The router of this VM: filled by boot, then read by whoever lists what is served.
local router = require "web.router"
local sockets = require "web.ws"

return router.new(sockets.handler)
