-- POST /auth/{action}: what lua/auth/admin.lua can do, with its arguments as the body.
local admin = require "auth.admin"
local web = require "web"


return {
  path = "/auth/{action}",
  POST = function(req)
    local action = admin[req.params.action]
    if not action then web.throw(404, "not_found", "there is no such action") end
    return web.json(action(req.json))
  end,
}
