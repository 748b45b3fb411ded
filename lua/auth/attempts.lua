-- Passwords that are tried: failures are counted, by account and by address, at every door that
-- asks for one, and too many are answered 429 for a while. Who knows the password is never shut out
-- for good by those who don't. A door where a name's first use claims it has room for many who want
-- the same name at once.
--
-- A worker looks at no more passwords of an account at a time than may still be wrong; the others
-- wait: else a burst of guesses would all be looked at before the first one counts.
local errors = require "web.errors"
local event = require "host.event"
local limiter = require "web.limiter"
local logs = require "web.logs"
local web = require "web"

local WINDOW <const> = 300 -- seconds
local WAITING <const> = 64 -- for one account

local attempts = {}

local by_address = limiter.new { name = "login-address", limit = 100, window = WINDOW }


-- How many more may fail; 429.
local function left(counter, what, key, req, user)
  local ok, state = counter:peek(key)
  if ok then return state.remaining end
  logs.auth("login_refused", { user = user, address = req.peer, by = what })
  local seconds = math.ceil(state.reset)
  return web.throw(429, "too_many_failures",
    ("too many failed logins; try again in %d seconds"):format(seconds),
    { ["Retry-After"] = tostring(seconds) })
end


-- One of those who want their password of an account looked at; leaves when it is closed.
local Turn = {}
Turn.__index = Turn

function Turn.__close(turn)
  local queue = turn.queue
  queue.present = queue.present - 1
  if queue.present == 0 then turn.queues[turn.user] = nil end
  if not turn.inside then return end
  queue.inside = queue.inside - 1
  queue.changed:set()
  queue.changed = event.new()
end


local function line_up(queues, user)
  local queue = queues[user] or { present = 0, inside = 0, changed = event.new() }
  if queue.present > WAITING then
    errors.throw_world("too many logins of this account wait", "busy",
      "the password can't be checked now")
  end
  queues[user] = queue
  queue.present = queue.present + 1
  return setmetatable({ queues = queues, user = user, queue = queue, inside = false }, Turn)
end


-- Waits until it is this one's turn. `room()` tells how many may be inside; 429.
function Turn:come(room)
  local queue = self.queue
  local most = room()
  while queue.inside >= most do -- nothing else runs between this look and the step in
    queue.changed:wait()
    most = room()
  end
  self.inside = true
  queue.inside = queue.inside + 1
end


--- A check of passwords that can't be tried without end: 429. Make it once, at the top of a file.
---@param name string of its limiter
---@param most integer failures per account in five minutes
---@param right fun(user: string, password: string): boolean
---@return fun(req: web.Request, user: string, password: string): boolean
function attempts.limited(name, most, right)
  local by_account = limiter.new { name = name, limit = most, window = WINDOW }
  local queues = {}
  return function(req, user, password)
    left(by_address, "address", req.network, req, user)
    local turn <close> = line_up(queues, user)
    turn:come(function() return left(by_account, "account", user, req, user) end)
    if right(user, password) then return true end
    by_account:take(user)
    by_address:take(req.network)
    logs.auth("login_failed", { user = user, address = req.peer })
    return false
  end
end

return attempts
