-- Sessions: a template with arguments, rendered into a picture that viewers watch.
--
-- A change reads the record, renders, and writes with compare-and-set; who loses the race reads
-- again, so that two changes at once lose nothing. What was written is then published: the picture
-- is rendered once for the whole cluster and travels in the message and in the record.
--
-- Versions are times in microseconds, so that a session which is deleted and made again, or whose
-- last changes a store lost in a crash, never has a version below one that a viewer has seen.
--
-- All functions end the request (web.throw) with the answer that the client should get.
local config = require "host.config"
local duration = require "web.duration"
local errors = require "web.errors"
local etag = require "web.etag"
local hub = require "host.hub"
local ids = require "pictures.ids"
local merge = require "web.merge"
local record = require "pictures.record"
local render = require "pictures.render"
local store = require "host.store"
local time = require "host.time"

local sessions = {}

-- Settings stay the same for the life of a VM; a look-up by name is not free.
local BYTES_MAX, EXPIRE = config.get "limits.session", config.get "session.expire"
local CHANGE_SECONDS = 10 -- a change gives up after losing races for so long
local BACKOFF_MAX = 0.05
local MAX_EXPIRE = 3650 * 86400
local PAGE_ROUNDS = 100


local function world(message, code)
  errors.throw_world(message, code, "the session store can't be used now")
end


local function no_such_session()
  errors.throw(404, "not_found", "there is no such session; it may have expired")
end


local function tag_of(rec)
  return ('"%d"'):format(rec.version)
end

sessions.tag = tag_of


--- Seconds until a session expires, more than 0; nil: never.
---@param rec pictures.Record
---@return number|nil
function sessions.seconds_left(rec)
  return rec.expires_at and math.max(rec.expires_at - time.now(), 0.001)
end


local function check_id(id, field)
  if ids.valid(id) then return end
  errors.throw(400, "invalid", ('"%s" is not possible as a %s; it has %s'):format(
    tostring(id):sub(1, 100), field, ids.RULE), nil, { field = field })
end


-- Seconds and text of an expiry; nil, nil for a session that lives for ever.
local function expiry(expire)
  if expire == "never" then return nil, nil end
  local seconds = expire and duration.parse(expire) or not expire and EXPIRE
  if not seconds or seconds < 1 or seconds > MAX_EXPIRE then
    errors.throw(400, "invalid", '"expire" must be a time such as "90s", "15m", "2h" or "1d", '
      .. "at most 3650d", nil, { field = "expire" })
  end
  return seconds, expire or duration.format(math.tointeger(seconds) or math.ceil(seconds))
end


local function encode(rec, svg)
  local value = record.encode(rec, svg)
  if #value > BYTES_MAX then
    errors.throw(413, "too_large", ("template, arguments and picture have %d bytes; at most %d "
      .. "are possible"):format(#value, BYTES_MAX))
  end
  return value
end


-- Options of a write, with which the picture goes to all nodes in the same step: no viewer stays on
-- an older one, whatever dies in between.
local function announcing(key, rec, svg)
  local meta = { version = rec.version, ttl = sessions.seconds_left(rec) }
  local channel, message = hub.compose(key, svg, meta)
  return { channel = channel, message = message, meta = meta }
end


-- Where there are no other nodes.
local function announce(key, svg, options)
  if not options.channel then hub.publish_local(key, svg, options.meta) end
end


---@class pictures.Draft
---@field session_id string
---@field template string
---@field args? table
---@field expire? string "90s", "15m", "1d"; "never" is for the application's own sessions

--- Makes a session: 400, 409, 413, 422, 503.
---@param user_id string|nil nil: a public one
---@param draft pictures.Draft
---@return pictures.Record
function sessions.create(user_id, draft)
  check_id(draft.session_id, "session_id")
  if draft.template == "" then
    errors.throw(400, "invalid", '"template" is empty', nil, { field = "template" })
  end
  render.check_size(draft.template)
  local seconds, expire = expiry(draft.expire)
  local args = draft.args or {}
  local svg = render.picture(draft.template, args)
  local now = time.now()
  local rec = {
    template = draft.template, args = args, expire = expire, created_at = now,
    expires_at = seconds and now + seconds, version = math.floor(now * 1000000),
  }
  local key = ids.key(user_id, draft.session_id)
  local options = announcing(key, rec, svg)
  options.ttl = seconds
  local added, message, code = store.add(key, encode(rec, svg), options)
  if added then
    announce(key, svg, options)
    return rec
  end
  if code ~= "exists" then world(message, code) end
  errors.throw(409, "exists", ('there is a session "%s" already; PUT changes its arguments, DELETE '
    .. "removes it"):format(draft.session_id))
end


--- The record, its picture and the store's version, or nil where there is none; 503.
---@param key string
---@return pictures.Record|nil
---@return string|nil svg
---@return string|nil stored
function sessions.find(key)
  local value, stored, code = store.get(key)
  if not value and code then world(stored, code) end
  if not value then return nil end
  local rec, svg = record.decode(value)
  if rec.expires_at and rec.expires_at <= time.now() then return nil end
  return rec, svg, stored
end


--- Like find; 404 where there is none.
function sessions.get(user_id, session_id)
  local rec, svg, stored = sessions.find(ids.key(user_id, session_id))
  if not rec then no_such_session() end
  return rec, svg, stored
end


local function equal(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b and math.type(a) == math.type(b)
  end
  if getmetatable(a) ~= getmetatable(b) then return false end
  for name, value in pairs(a) do
    if not equal(value, b[name]) then return false end
  end
  for name in pairs(b) do
    if a[name] == nil then return false end
  end
  return true
end


local function next_version(rec)
  return math.max(rec.version + 1, math.floor(time.now() * 1000000))
end


-- Writes what was rendered; false when the race was lost.
local function save(key, rec, svg, stored, changed)
  rec.version = next_version(rec)
  local options = changed and announcing(key, rec, svg)
  local written, message, code = store.cas(key, encode(rec, svg), stored, options or nil)
  if written then
    if options then announce(key, svg, options) end
    return true
  end
  if code == "conflict" then return false end
  if code == "absent" then no_such_session() end
  world(message, code)
end


-- One try of a change: the record, or nil when the race was lost.
local function try_change(key, if_match, change)
  local rec, old_svg, stored = sessions.find(key)
  if not rec then no_such_session() end
  etag.require(if_match, tag_of(rec))
  local args = change(rec.args)
  local svg = render.picture(rec.template, args)
  local changed = svg ~= old_svg
  if not changed and equal(args, rec.args) then return rec end
  rec.args = args
  return save(key, rec, svg, stored, changed) and rec
end


local function change_args(key, if_match, change)
  local deadline, pause = time.monotonic() + CHANGE_SECONDS, 0.001
  repeat
    local rec = try_change(key, if_match, change)
    if rec then return rec end
    time.sleep(math.random() * pause)
    pause = math.min(pause * 2, BACKOFF_MAX)
  until time.monotonic() > deadline
  errors.throw(503, "busy", "too many changes of this session at once; try again",
    { ["Retry-After"] = "1" })
end


--- Replaces the arguments: 404, 412, 422, 503. The expiry stays.
---@param user_id string|nil
---@param session_id string
---@param args table
---@param if_match? string the If-Match header
---@return pictures.Record
function sessions.replace(user_id, session_id, args, if_match)
  return change_args(ids.key(user_id, session_id), if_match, function() return args end)
end


--- Merges a patch (RFC 7396) into the arguments: 404, 412, 422, 503.
---@param user_id string|nil
---@param session_id string
---@param patch table
---@param if_match? string
---@return pictures.Record
function sessions.merge(user_id, session_id, patch, if_match)
  return change_args(ids.key(user_id, session_id), if_match, function(args)
    return merge(args, patch)
  end)
end


--- Renders a session anew, since filters have changed; sends it when it differs.
---@param key string
function sessions.renew(key)
  change_args(key, nil, function(args) return args end)
end


--- Removes a session and ends its streams: 404, 412, 503.
---@param user_id string|nil
---@param session_id string
---@param if_match? string
function sessions.delete(user_id, session_id, if_match)
  local key = ids.key(user_id, session_id)
  local version
  if if_match then
    local rec, _, stored = sessions.get(user_id, session_id)
    etag.require(if_match, tag_of(rec))
    version = stored
  end
  local channel, notice = hub.compose(key)
  local deleted, message, code = store.delete(key,
    { version = version, channel = channel, message = notice })
  if code == "conflict" then
    errors.throw(412, "precondition_failed", "the session has just changed; read it again")
  end
  if deleted == nil and code then world(message, code) end
  if not deleted then no_such_session() end
  if not channel then hub.close_local(key) end
end


--- A page of session ids: 503.
---@param user_id string|nil
---@param limit integer
---@param cursor? string from the page before
---@return string[] ids
---@return string|nil next
function sessions.list(user_id, limit, cursor)
  local prefix, found, seen = ids.prefix(user_id), {}, {}
  for _ = 1, PAGE_ROUNDS do
    local keys, next_cursor, code = store.list(prefix, { limit = limit, cursor = cursor })
    if not keys then world(next_cursor, code) end
    for _, key in ipairs(keys) do
      if not seen[key] then
        seen[key] = true
        found[#found + 1] = key:sub(#prefix + 1)
      end
    end
    cursor = next_cursor
    if not cursor or #found >= limit then break end
  end
  table.sort(found)
  return found, cursor
end

return sessions
