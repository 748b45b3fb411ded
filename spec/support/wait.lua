-- Waiting in specs: never a fixed pause, always a condition with a generous limit.
--   wait.till(function() return server:get("/ready").status == 200 end, "the server to be ready")
local uv = require "luv"

local wait = { LIMIT = 15 } -- seconds; a machine that runs sanitizers on all cores is slow


--- Seconds on a clock that never steps.
---@return number
function wait.now()
  return uv.hrtime() / 1e9
end


--- Lets processes and sockets of specs go on until `done()` is true or `seconds` have passed.
---@param done fun(): any
---@param seconds number
---@return any what done returned last
function wait.turn(done, seconds)
  local timer, late = uv.new_timer(), false
  timer:start(math.ceil(seconds * 1000), 0, function() late = true end)
  local result = done()
  while not result and not late do
    uv.run "once"
    result = done()
  end
  timer:close()
  uv.run "nowait"
  return result
end


--- Fails the spec when the condition does not come true.
---@generic T
---@param done fun(): T
---@param what string|nil for the message
---@param seconds number|nil
---@return T
function wait.till(done, what, seconds)
  local timer = uv.new_timer()
  timer:start(20, 20, function() end) -- conditions that no event of ours announces
  local ok, result = pcall(wait.turn, done, seconds or wait.LIMIT)
  timer:close()
  if not ok then error(result, 0) end
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
