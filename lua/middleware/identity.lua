-- Lets requests with a good token of the landscape through (auth.identity), its claims in
-- req.claims and the tenant in req.tenant. The headers X-User-ID and X-Tenant-ID, which services
-- behind us trust, must say what the token says when they are there.
local header = require "auth.header"
local identity = require "auth.identity"
local web = require "web"

local CODES = { expired = "expired_token" }


local function refuse(code, message)
  local description = message:gsub('[^%w %-._,:;()/]', "'")
  web.throw(401, code, message, {
    ["WWW-Authenticate"] = ('Bearer error="%s", error_description="%s"'):format(code, description),
  })
end


local function must_equal(req, name, claim, what)
  local value = req:header(name)
  if value and value ~= claim then
    web.throw(403, "forbidden", what .. " mismatch between JWT and header")
  end
end

return function(req, next)
  local token = header.bearer(req)
  if not token then
    refuse("missing_token", "this needs a token; send Authorization: Bearer TOKEN")
  end
  if token == "" then
    refuse("invalid_token", "the Authorization header is not of the form Bearer TOKEN")
  end
  local claims, message, code = identity.claims(token)
  if not claims then refuse(CODES[code] or "invalid_token", message) end
  must_equal(req, "x-user-id", claims.sub, "User ID")
  must_equal(req, "x-tenant-id", claims.tenant_id, "Tenant ID")
  req.claims, req.tenant = claims, claims.tenant_id
  return next(req)
end
