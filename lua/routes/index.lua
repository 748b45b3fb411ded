-- The start page: the demo's picture, and how to make one's own.
local config = require "host.config"
local page = require "pictures.page"

return {
  path = "/",
  GET = function(req)
    return page.index(req.origin, config.get "demo" and "demo" or nil)
  end,
}
