-- Lets requests with a good bearer token through, its claims in req.claims; others are answered
-- 401.
local tokens = require "auth.tokens"
local web = require "web"


local function refuse(code, message)
  local description = message:gsub('[^%w %-._,:;()/]', "'")
  web.throw(401, code, message, {
    ["WWW-Authenticate"] = ('Bearer error="%s", error_description="%s"'):format(code, description),
  })
end

return function(req, next)
  local header = req:header "authorization"
  if not header then
    refuse("missing_token", "this needs a token; send Authorization: Bearer TOKEN")
  end
  -- The usual form first: a good token has been read to its last byte, a pattern says nothing new.
  local claims, message
  local usual = header:sub(1, 7) == "Bearer " and header:sub(8)
  if usual then claims, message = tokens.claims(usual) end
  if claims then
    req.claims = claims
    return next(req)
  end
  local token = header:match "^[Bb][Ee][Aa][Rr][Ee][Rr] +([%w._~+/-]+=*) *$"
  if not token then
    refuse("invalid_request", "the Authorization header is not of the form Bearer TOKEN")
  end
  if token ~= usual then claims, message = tokens.claims(token) end
  if not claims then refuse("invalid_token", message) end
  req.claims = claims
  return next(req)
end
