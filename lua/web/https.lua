-- What https.redirect and https.hsts ask for, outermost around every handler. Behind a proxy that
-- ends TLS the scheme is the one that it tells (proxy.trusted). Probes of load balancers and of
-- Prometheus come by http and stay there.
local config = require "host.config"

local https = {}

local PLAIN <const> = { ["/health"] = true, ["/ready"] = true, ["/metrics"] = true }


-- "example.org:8080" -> "example.org", "[::1]:80" -> "[::1]"
local function without_port(host)
  return host:match "^(%[[%x:.]+%])" or host:match "^([^:]+)"
end


local function location(req, port)
  local host = without_port(req.x:host() or "")
  if not host then return nil end
  local target = req.x:target()
  if target:sub(1, 1) ~= "/" then -- absolute, or "*"
    local query = req.x:query()
    target = req.path .. (query ~= "" and "?" .. query or "")
  end
  return ("https://%s%s%s"):format(host, port ~= 443 and (":%d"):format(port) or "", target)
end


--- The handler with the redirect and the header, or as it is when neither is wanted.
---@param handler fun(req: web.Request): web.Response
---@return fun(req: web.Request): web.Response
function https.wrap(handler)
  local redirect, port = config.get "https.redirect", config.get "https.port"
  local seconds = config.get "https.hsts" // 1 | 0
  if not redirect and seconds == 0 then return handler end
  local hsts = ("max-age=%d"):format(seconds)
  return function(req)
    if req.scheme == "https" then
      if seconds > 0 then req:default_header("Strict-Transport-Security", hsts) end
    elseif redirect and not PLAIN[req.path] then
      local to = location(req, port)
      if to then return { status = 308, headers = { Location = to } } end
    end
    return handler(req)
  end
end

return https
