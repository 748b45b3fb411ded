-- What C has seen of connections, handed on: comings and goings to presence, closed and slow ones
-- to the hooks. `pump` runs as a task when there is something new, and ends when there is nothing.
--
-- Hooks run one after another in a task of their own, so that a hook which waits holds up the hooks
-- behind it and nothing else; their queue is bounded.
local hooks = require "web.hooks"
local hub = require "host.hub"
local log = require "host.log"
local presence = require "web.presence"
local task = require "host.task"
local users = require "web.users"

local news = {}

local BATCH = 100
local QUEUE_MAX = 10000

local resumed = false
local queue, first, last, full = {}, 1, 0, false
local runner -- the task that runs hooks; it may be stopped in one that runs too long


local function run_hooks()
  while first <= last do
    local item = queue[first]
    queue[first] = nil
    first = first + 1
    hooks.run(item.kind, item)
  end
  full = false
end


local function tell_hook(item)
  if not hooks.any(item.kind) then return end
  if last - first >= QUEUE_MAX then
    if not full then log.warn("hooks are too slow; some are not called", { hook = item.kind }) end
    full = true
    return
  end
  last = last + 1
  queue[last] = item
  if not runner or not task.alive(runner) then runner = task.spawn(run_hooks) end
end


local function write_rooms()
  local any = false
  for room in hub.next_room do
    any = true
    if room:sub(1, 6) == "$user:" then users.changed(room) else presence.write(room) end
  end
  return any
end


local function tell_some()
  for count = 1, BATCH do
    local item = hub.next_news()
    if not item then return count > 1 end
    if item.kind == "join" or item.kind == "leave" then
      presence.tell(item)
    else
      tell_hook(item)
    end
  end
  return true
end


--- Takes everything that is new; at first also what older scripts have left. The rooms come first:
--- who hears of a join finds it in the store.
function news.pump()
  if not resumed then
    resumed = true
    task.spawn(users.resume)
  end
  while write_rooms() or tell_some() do end
end

return news
