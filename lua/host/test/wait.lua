-- Waiting in specs: never a fixed pause, always a condition with a generous limit.
--   wait.till(function() return app:get("/ready").status == 200 end, "the server to be ready")
local peer = require "host.peer"
local time = require "host.time"

local wait = { LIMIT = 30 } -- seconds; a machine that runs sanitizers on all cores is slow

local LOOK = 0.02 -- conditions that no event of ours announces


--- Seconds on a clock that never steps.
---@return number
function wait.now()
  return time.monotonic()
end


--- Lets processes and sockets of specs go on until `done()` is true or `seconds` have passed.
---@param done fun(): any
---@param seconds number
---@return any what done returned last
function wait.turn(done, seconds)
  local till = time.monotonic() + seconds
  local result = done()
  while not result do
    local left = till - time.monotonic()
    if left <= 0 then break end
    peer.wait(math.min(left, LOOK))
    result = done()
  end
  return result
end


--- Lets what is there already be read.
function wait.settle()
  peer.wait(0)
end


--- Fails the spec when the condition does not come true.
---@generic T
---@param done fun(): T
---@param what string|nil for the message
---@param seconds number|nil
---@return T
function wait.till(done, what, seconds)
  local result = wait.turn(done, seconds or wait.LIMIT)
  if not result then
    error(("waited %g s in vain for %s"):format(seconds or wait.LIMIT, what or "a condition"), 2)
  end
  return result
end


--- A pause, for the proof that something does not happen.
---@param seconds number
function wait.pause(seconds)
  wait.turn(function() return false end, seconds)
end

return wait
