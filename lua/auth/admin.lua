-- Keys and tokens for those who run the server: what the commands `keys` and `token` do, in the
-- server by its control socket, or in the command itself while no server runs.
local config = require "host.config"
local duration = require "web.duration"
local errors = require "web.errors"
local keys = require "auth.keys"
local tokens = require "auth.tokens"

local admin = {}


--- { items = { { kid, alg, use, seconds } } }
function admin.keys()
  return { items = keys.list() }
end


--- { kid }, of the key that signs from now on.
function admin.rotate()
  if not keys.rotate() then keys.rotate() end -- the first call may have made the first key
  return { kid = keys.signing():kid() }
end


---@param args { kid: string }
function admin.retire(args)
  local kid = tostring(args.kid)
  if kid == keys.signing():kid() then
    errors.throw(409, "in_use", "this key signs; rotate first: lunacast keys rotate")
  end
  if not keys.retire(kid) then
    errors.throw(404, "not_found",
      ("there is no key %s; `lunacast keys list` shows all"):format(kid))
  end
  return { kid = kid }
end


---@param args { user: string, ttl?: string }
function admin.issue(args)
  local seconds = args.ttl and duration.parse(args.ttl) or config.get "token.ttl"
  if args.ttl and not duration.parse(args.ttl) then
    errors.throw(400, "invalid", ('a life is a time such as 90s, 15m, 2h or 1d, got "%s"')
      :format(tostring(args.ttl)))
  end
  if seconds < 1 or seconds > config.get "token.max_ttl" then
    errors.throw(400, "invalid", ("a token lives at most %s (setting token.max_ttl)")
      :format(duration.format(config.get "token.max_ttl")))
  end
  return { token = tokens.issue(tostring(args.user), seconds) }
end


---@param args { token: string }
function admin.verify(args)
  local claims, message, code = tokens.claims(tostring(args.token))
  if not claims then errors.throw(401, code, message) end
  return { claims = claims }
end

return admin
