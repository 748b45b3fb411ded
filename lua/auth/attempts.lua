-- Passwords that are tried: failures are counted, by account and by address, at every door that
-- asks for one, and too many are answered 429 for a while. Who knows the password is never shut out
-- for good by those who don't. A door where a name's first use claims it has room for many who want
-- the same name at once.
local limiter = require "web.limiter"
local logs = require "web.logs"
local web = require "web"

local WINDOW <const> = 300 -- seconds

local attempts = {}

local by_address = limiter.new { name = "login-address", limit = 100, window = WINDOW }


local function check(counter, what, key, req, user)
  local ok, state = counter:peek(key)
  if ok then return end
  logs.auth("login_refused", { user = user, address = req.peer, by = what })
  local seconds = math.ceil(state.reset)
  web.throw(429, "too_many_failures",
    ("too many failed logins; try again in %d seconds"):format(seconds),
    { ["Retry-After"] = tostring(seconds) })
end


--- A check of passwords that can't be tried without end: 429. Make it once, at the top of a file.
---@param name string of its limiter
---@param most integer failures per account in five minutes
---@param right fun(user: string, password: string): boolean
---@return fun(req: web.Request, user: string, password: string): boolean
function attempts.limited(name, most, right)
  local by_account = limiter.new { name = name, limit = most, window = WINDOW }
  return function(req, user, password)
    check(by_account, "account", user, req, user)
    check(by_address, "address", req.network, req, user)
    if right(user, password) then return true end
    by_account:take(user)
    by_address:take(req.network)
    logs.auth("login_failed", { user = user, address = req.peer })
    return false
  end
end

return attempts
