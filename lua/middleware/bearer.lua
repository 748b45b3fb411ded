-- Lets requests with a good bearer token through, its claims in req.claims; others are answered
-- 401.
local header = require "auth.header"
local tokens = require "auth.tokens"
local web = require "web"


local function refuse(code, message)
  local description = message:gsub('[^%w %-._,:;()/]', "'")
  web.throw(401, code, message, {
    ["WWW-Authenticate"] = ('Bearer error="%s", error_description="%s"'):format(code, description),
  })
end

return function(req, next)
  local token = header.bearer(req)
  if not token then
    refuse("missing_token", "this needs a token; send Authorization: Bearer TOKEN")
  end
  if token == "" then
    refuse("invalid_request", "the Authorization header is not of the form Bearer TOKEN")
  end
  local claims, message = tokens.claims(token)
  if not claims then refuse("invalid_token", message) end
  req.claims = claims
  return next(req)
end
