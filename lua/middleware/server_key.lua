-- Lets requests through that carry the setting server.key as Authorization: Bearer KEY. Without
-- the setting there is nothing here to be found.
local config = require "host.config"
local crypto = require "host.crypto"
local header = require "auth.header"
local web = require "web"

return function(req, next)
  local key = config.get "server.key"
  if key == "" then
    web.throw(404, "not_found", "the server's API is off; the setting server.key turns it on")
  end
  local given = header.bearer(req) or ""
  if not crypto.equal(given, key) then
    web.throw(401, given == "" and "missing_key" or "wrong_key",
      "this needs the server's key as Authorization: Bearer KEY",
      { ["WWW-Authenticate"] = "Bearer" })
  end
  return next(req)
end
