-- GET /sessions: all sessions, the most watched first.
local check = require "web.check"
local overview = require "pictures.overview"
local web = require "web"

local PAGE, MOST = 1000, 100000


return {
  path = "/sessions",
  GET = function(req)
    local limit = check.integer(req.query.limit, "limit", PAGE, 1, MOST)
    return web.json { items = overview.list(req.query.user, limit) }
  end,
}
