-- Timers of plugins: `plugin:every(seconds, fn, { once_per = "cluster" })`.
--
--   cluster  on the node that holds the timer's lease; another takes over when it is gone. While
--            the store is away nobody runs it.
--   node     on one worker of each node
--   worker   on each worker
--
-- A run is a task of its own: one that fails or never ends costs the timer nothing. A run that has
-- not ended when the next is due is not joined by a second one. When scripts are reloaded the timer
-- goes on in the new code, at the time at which it was due.
local event = require "host.event"
local log = require "host.log"
local task = require "host.task"
local time = require "host.time"

local timers = {}

local LIFE_LEAST <const>, LIFE_MOST <const> = 5, 60


-- Is it ours to run now? Waits for the store.
local function holds(timer)
  if timer.once_per ~= "cluster" then return true end
  local lease = require "web.lease"
  if timer.lease then
    local ok, _, code = timer.lease:renew()
    if ok or code == "unavailable" then return timer.lease:held() end
  end
  local code
  timer.lease, timer.holder, code = lease.take(timer.name, timer.life, { holder = timer.node() })
  if code and not timer.told then
    log.warn("a timer waits for the store", { timer = timer.name, code = code })
  end
  timer.told = code ~= nil
  return timer.lease ~= nil
end


local function run(timer)
  if timer.task and task.alive(timer.task) then
    log.warn("a timer's last run has not ended; this one is left out", { timer = timer.name })
    return
  end
  timer.task = task.spawn(function()
    local ok, err = pcall(timer.fn)
    if not ok then log.error("a timer failed", { timer = timer.name, error = tostring(err) }) end
  end)
end


local function loop(timer)
  timer.due = timer.due or time.monotonic() + timer.seconds
  local pause = timer.once_per == "cluster" and timer.life / 3 or math.huge
  repeat
    local now = time.monotonic()
    local mine = holds(timer)
    if now >= timer.due then
      timer.due = timer.due + timer.seconds
      if timer.due < now then timer.due = now + timer.seconds end
      if mine then run(timer) end
    end
    now = time.monotonic()
  until timer.stop:wait(math.max(0, math.min(timer.due - now, pause)))
  if timer.lease then timer.lease:release() end
end


--- A timer that has not begun.
---@param name string of its lease
---@param seconds number
---@param fn fun()
---@param once_per "cluster"|"node"|"worker"
---@param node fun(): string the node's name in leases
---@return table
function timers.new(name, seconds, fn, once_per, node)
  return {
    name = name, seconds = seconds, fn = fn, once_per = once_per, node = node,
    life = math.max(LIFE_LEAST, math.min(LIFE_MOST, 2 * seconds)), stop = event.new(),
  }
end


--- Begins it, on the workers where it is to run.
function timers.start(timer, worker)
  if timer.once_per ~= "worker" and worker ~= 0 or timer.stop:is_set() then return end
  task.spawn(loop, timer)
end


--- Ends it at its next look; a run that has begun goes on.
function timers.stop(timer)
  timer.stop:set()
end

return timers
