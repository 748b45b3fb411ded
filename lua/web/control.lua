-- What the control socket answers: the routes of lua/control/, which are written like those of
-- lua/routes/ and reachable there only. Who can open the socket owns the data; so nothing here asks
-- for a token, and the application's middleware has no say.
local errors = require "web.errors"
local loader = require "web.loader"
local request = require "web.request"
local router = require "web.router"
local sockets = require "web.ws"

local control = {}


--- Loads lua/control/; the function that answers a request.
---@return fun(x: any, method: string, path: string): web.Response, web.Request
function control.load()
  local routes = router.new(sockets.handler)
  loader.routes("control", function(route, origin) routes:add(route, origin) end)
  return function(x, method, path)
    local endpoint, params, tail = routes:find(method, path)
    if not endpoint then
      errors.throw(404, "not_found", ("this server has no %s %s; is it of the same version as the "
        .. "command?"):format(method, path))
    end
    local req = request.new(x, method, path, endpoint.route, params, tail)
    return endpoint.call(req), req
  end
end

return control
