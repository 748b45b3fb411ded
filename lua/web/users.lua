-- The hook `gone`: a user has had no connection on any worker of any node for the grace time
-- (presence.grace). Works like presence, on a room per user: the worker on which the user's first
-- connection opens writes so; with the last one it writes since when the user is away, and after
-- the grace deletes that; who deletes the last trace of a user calls the hook. A worker that dies
-- leaves its trace, which the sweep of dead nodes turns into "away since now".
--
-- Nothing is written while no script has such a hook.
local config = require "host.config"
local hooks = require "web.hooks"
local hub = require "host.hub"
local json = require "host.json"
local log = require "host.log"
local presence = require "web.presence"
local store = require "host.store"
local task = require "host.task"
local time = require "host.time"

local users = {}

local CLAIM = "gone:"
local CLAIM_SECONDS = 1
local RETRY = 1

local away = {} -- room -> since when (time.now), while a task waits for the grace to pass


-- "$user:3:abcann" -> { user = "ann", tenant = "abc" }
local function whose(room)
  local length, rest = room:match "^%$user:(%d+):(.*)$"
  local n = math.tointeger(tonumber(length)) or 0
  return { user = rest:sub(n + 1), tenant = n > 0 and rest:sub(1, n) or nil }
end


local function here(room)
  return select(2, hub.room(room)) > 0
end


-- Does any other worker know this user, as present or as away for less than the grace?
local function known_elsewhere(room)
  local others, message, code = presence.others()
  if not others then return nil, message, code end
  for _, holder in ipairs(others) do
    local text, problem, why = store.get(presence.key(holder, room))
    if why then return nil, problem, why end
    if text then return true end
  end
  return false
end


-- After the grace. Nil with a code when the store is away.
local function check(room)
  if here(room) then return true end
  local deleted, message, code = store.delete(presence.key(presence.holder(), room))
  if deleted == nil then return nil, message, code end
  if not deleted then return true end
  local known
  known, message, code = known_elsewhere(room)
  if known == nil then
    store.set(presence.key(presence.holder(), room), json.encode { count = 0, left = away[room] })
    return nil, message, code
  end
  if known or not store.add(CLAIM .. room, presence.holder(), { ttl = CLAIM_SECONDS }) then
    return true
  end
  task.spawn(hooks.run, "gone", whose(room)) -- it may be stopped since it runs too long
  return true
end


local function await(room)
  local done, message, code
  repeat
    local left = away[room] + config.get "presence.grace" - time.now()
    if left > 0 then time.sleep(left) end
    if here(room) then break end
    if time.now() >= away[room] + config.get "presence.grace" then
      done, message, code = check(room)
      if not done then
        log.warn("a user's absence can't be checked now", { error = message, code = code })
        time.sleep(RETRY)
      end
    end
  until done
  away[room] = nil
end


local function watch(room, since)
  local waiting = away[room] ~= nil
  away[room] = since
  if not waiting then task.spawn(await, room) end
end


--- A user's room has changed: the first connection is here, or the last one gone.
---@param room string
function users.changed(room)
  if not hooks.any "gone" then return end
  if here(room) then return presence.write(room) end
  local now = time.now()
  store.set(presence.key(presence.holder(), room), json.encode { count = 0, left = now })
  watch(room, now)
end


--- A dead worker's user: away from now on, unless the user is here.
---@param key string
---@param room string
---@param text string
---@param version string
function users.bury(key, room, text, version)
  local part = json.decode(text)
  if hooks.any "gone" and not here(room) then
    local since = part and part.left or time.now()
    store.set(presence.key(presence.holder(), room), json.encode { count = 0, left = since })
    watch(room, since)
  end
  store.delete(key, { version = version })
end


--- Goes on with what the scripts of before were waiting for.
function users.resume()
  if not hooks.any "gone" then return end
  local prefix = presence.key(presence.holder(), "$user:")
  local cursor
  repeat
    local keys, next_cursor = store.list(prefix, { limit = 1000, cursor = cursor })
    for _, key in ipairs(keys or {}) do
      local part = json.decode((store.get(key)) or "null")
      local room = key:sub(#prefix - #"$user:" + 1)
      if type(part) == "table" and part.left and not here(room) then watch(room, part.left) end
    end
    cursor = keys and next_cursor
  until not cursor
end

return users
