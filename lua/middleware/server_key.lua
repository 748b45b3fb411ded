-- Lets requests through that carry the setting server.key as Authorization: Bearer KEY. Without
-- the setting there is nothing here to be found.
local config = require "host.config"
local crypto = require "host.crypto"
local web = require "web"

return function(req, next)
  local key = config.get "server.key"
  if key == "" then
    web.throw(404, "not_found", "the server's API is off; the setting server.key turns it on")
  end
  local header = req:header "authorization"
  local given = header and header:match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+) *$"
  if not given or not crypto.equal(given, key) then
    web.throw(401, given and "wrong_key" or "missing_key",
      "this needs the server's key as Authorization: Bearer KEY",
      { ["WWW-Authenticate"] = "Bearer" })
  end
  return next(req)
end
