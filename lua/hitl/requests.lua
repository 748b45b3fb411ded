-- Questions to people, and the one answer that each of them gets.
--
--   hitl:request:{id}           the question and, later, its decision; 30 min
--   hitl:session:{session}      the newest questions of a session; 60 min
--   hitl:signal:{session}       the last decision in a session; 5 min
--   hitl:inbox:{tenant}:{id}    what waits in a tenant, as long as it may be decided; then 30 min
--   channel hitl:channel:{session}   each decision, for plain Redis clients
--
--   pending --approve, reject, expire: compare-and-set--> decided, for ever
--
-- The compare-and-set on the question is the decision: of two people at once, on two nodes, one
-- wins, and the other one is told by whom. What follows (signal, channel, events, audit line) tells
-- of it; a node that dies in between loses only the telling, and who waits reads the question
-- again. A question whose time is over counts as expired for everybody, whoever writes it down.
--
-- Rejected: the tenant as a part of the keys, which clients of the original read by their names;
-- so each question holds its tenant, ids can't be guessed, and whoever asks with another tenant's
-- token finds nothing.
local change = require "web.change"
local config = require "host.config"
local crypto = require "host.crypto"
local errors = require "web.errors"
local hub = require "host.hub"
local json = require "host.json"
local log = require "host.log"
local names = require "pubsub.names"
local redis = require "host.redis"
local store = require "host.store"
local time = require "host.time"

local requests = {}

local REQUEST_TTL, SESSION_TTL, SIGNAL_TTL = 1800, 3600, 300
local SESSION_MAX, LIST_MAX, LOOK_MAX, PAGE = 20, 200, 2000, 200
local TIMEOUT, TIMEOUT_MAX = 300, 1500
local TOPIC, INBOX = "hitl", "*" -- no session has the name of the inbox
local OWN_TENANT = config.get "identity.tenant"
local WORDS = { approved = "approval", rejected = "rejection", expired = "expiry" }

---@class hitl.Request
---@field requestId string
---@field tenantId string
---@field sessionId string
---@field actionType string
---@field message string
---@field context any
---@field who? { role?: string, user?: string } who may decide; anyone of the tenant when absent
---@field askedBy? string
---@field status "pending"|"approved"|"rejected"|"expired"
---@field reason? string
---@field decidedBy? string
---@field createdAt integer Unix seconds
---@field expiresAt integer
---@field decidedAt? integer


local function world(message, code)
  errors.throw_world(message, code, "the store of approvals can't be used now")
end


local function must(value, message, code)
  if value == nil and code then world(message, code) end
  return value
end


local function uuid()
  local hex = crypto.hex_encode(crypto.random(16))
  return ("%s-%s-4%s-%x%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(14, 16),
    8 + tonumber(hex:sub(17, 17), 16) % 4, hex:sub(18, 20), hex:sub(21, 32))
end


local function key_of(id)
  return "hitl:request:" .. id
end


local function inbox_key(tenant, id)
  return ("hitl:inbox:%d:%s:%s"):format(#tenant, tenant, id)
end


--- The hub's topic of a session's approval events; clients of /ws and /sse know it as the topic
--- "hitl" of that session. There this server's own tokens name no tenant.
---@param tenant string
---@param session string
---@return string
function requests.topic(tenant, session)
  return names.key(tenant == OWN_TENANT and "" or tenant, session, TOPIC)
end


--- The hub's topic of everything that happens in a tenant.
---@param tenant string
---@return string
function requests.inbox_topic(tenant)
  return requests.topic(tenant, INBOX)
end


-- Telling is best effort: the question in the store is the truth.
local function tell(request, event)
  local body = json.encode {
    publisher_name = TOPIC, topic = TOPIC, session_id = request.sessionId,
    timestamp = time.iso8601(), payload = { event = event, request = request },
  }
  hub.publish(requests.topic(request.tenantId, request.sessionId), body, { mode = "log" })
  hub.publish(requests.inbox_topic(request.tenantId), body, { mode = "log" })
end


-- The newest ids of the session come first; of two questions at once neither is lost.
local function note_session(request)
  local _, message, code = change("hitl:session:" .. request.sessionId, function(noted)
    local ids = { request.requestId }
    for _, id in ipairs(noted and noted.requests or {}) do
      if #ids < SESSION_MAX then ids[#ids + 1] = id end
    end
    return { sessionId = request.sessionId, requestId = request.requestId, requests = ids }
  end, { ttl = SESSION_TTL })
  if code then world(message, code) end
end


---@class hitl.Draft
---@field tenant string
---@field session string
---@field action string
---@field question string
---@field context? any
---@field who? { role?: string, user?: string }
---@field timeout? number seconds, 300 when absent, at most 1500
---@field by? string the user who asks

--- Puts a question: 503.
---@param draft hitl.Draft
---@return hitl.Request
function requests.create(draft)
  local now = math.floor(time.now())
  local timeout = math.min(draft.timeout or TIMEOUT, TIMEOUT_MAX)
  local request = {
    requestId = uuid(), tenantId = draft.tenant, sessionId = draft.session,
    actionType = draft.action, message = draft.question, context = draft.context, who = draft.who,
    askedBy = draft.by, status = "pending", createdAt = now,
    expiresAt = math.ceil(now + timeout),
  }
  local id = request.requestId
  must(store.set(key_of(id), json.encode(request), { ttl = REQUEST_TTL }))
  must(store.set(inbox_key(draft.tenant, id), "", { ttl = REQUEST_TTL }))
  note_session(request)
  tell(request, "asked")
  return request
end


--- The question under an id, and its version; nil where there is none: 503.
---@param tenant string
---@param id string
---@return hitl.Request|nil
---@return string|nil version
function requests.find(tenant, id)
  if not id:find "^[%w-]+$" or #id > 64 then return nil end
  local value, version, code = store.get(key_of(id))
  must(value, version, code)
  local request = value and json.decode(value)
  if not request or request.tenantId ~= tenant then return nil end
  return request, version
end


-- Its members have the order of the contract, for who reads it with less than a JSON parser.
local function signal_of(request)
  local reason = request.reason and ',"reason":' .. json.encode(request.reason) or ""
  return ('{"type":"%s","requestId":"%s","status":"%s"%s,"timestamp":%d}'):format(
    WORDS[request.status], request.requestId, request.status, reason, request.decidedAt)
end


local function announce(request)
  local signal = signal_of(request)
  store.set("hitl:signal:" .. request.sessionId, signal, { ttl = SIGNAL_TTL })
  if redis.configured then redis.call("PUBLISH", "hitl:channel:" .. request.sessionId, signal) end
  tell(request, "decided")
  log.info("an approval was decided", {
    audit = "hitl", request = request.requestId, session = request.sessionId,
    tenant = request.tenantId, action = request.actionType, status = request.status,
    by = request.decidedBy, reason = request.reason,
  })
end


local function write(request, version)
  local changed, message, code = store.cas(key_of(request.requestId), json.encode(request), version)
  if changed then return true end
  if code ~= "conflict" and code ~= "absent" then world(message, code) end
  return false
end


--- Decides a question, if nobody else has: 503.
---@param tenant string
---@param id string
---@param decision { status: "approved"|"rejected"|"expired", by?: string, reason?: string }
---@return hitl.Request|nil request as it is now; nil: there is none
---@return boolean|nil won this decision is the one that counts
function requests.decide(tenant, id, decision)
  while true do
    local request, version = requests.find(tenant, id)
    if not request then return nil end
    if request.status ~= "pending" then return request, false end
    local now = math.floor(time.now())
    local late = now >= request.expiresAt and decision.status ~= "expired"
    request.status = late and "expired" or decision.status
    request.decidedAt = now
    if not late then request.decidedBy, request.reason = decision.by, decision.reason end
    if write(request, version) then
      announce(request)
      return request, not late
    end
  end
end


--- As find; a question whose time is over is decided "expired" by whoever notices: 503.
---@param tenant string
---@param id string
---@return hitl.Request|nil
function requests.current(tenant, id)
  local request = requests.find(tenant, id)
  if not request or request.status ~= "pending" then return request end
  if time.now() < request.expiresAt then return request end
  return (requests.decide(tenant, id, { status = "expired" }))
end


--- May this user decide it?
---@param request hitl.Request
---@param claims table of the token
---@return boolean
function requests.may_decide(request, claims)
  local who = request.who
  if not who then return true end
  if who.user and who.user ~= claims.sub then return false end
  if not who.role then return true end
  local role = claims.role
  if type(role) ~= "table" then return role == who.role end
  for _, name in ipairs(role) do
    if name == who.role then return true end
  end
  return false
end


--- Does it lie in this user's inbox? Who may decide it finds it there, and who has asked.
---@param request hitl.Request
---@param claims table of the token
---@return boolean
function requests.concerns(request, claims)
  return request.askedBy == claims.sub or requests.may_decide(request, claims)
end


--- The last decision of a session, as the channel told it; nil where there is none: 503.
---@param tenant string
---@param session string
---@return table|nil
function requests.signal(tenant, session)
  local value, message, code = store.get("hitl:signal:" .. session)
  must(value, message, code)
  local signal = value and json.decode(value)
  if not signal or not requests.find(tenant, signal.requestId) then return nil end
  return signal
end


-- What waits comes first, then the newest.
local function comes_before(a, b)
  if (a.status == "pending") ~= (b.status == "pending") then return a.status == "pending" end
  if a.createdAt ~= b.createdAt then return a.createdAt > b.createdAt end
  return a.requestId < b.requestId
end


--- What waits in a tenant, then what was decided in the last half hour, the newest first; 200 at
--- most: 503.
---@param tenant string
---@param wanted fun(request: hitl.Request): boolean
---@return hitl.Request[]
function requests.list(tenant, wanted)
  local prefix = inbox_key(tenant, "")
  local found, cursor, seen, count = {}, nil, {}, 0
  repeat
    local keys, next_cursor, code = store.list(prefix, { limit = PAGE, cursor = cursor })
    if not keys then world(next_cursor, code) end
    for _, key in ipairs(keys) do
      local request = not seen[key] and requests.current(tenant, key:sub(#prefix + 1))
      seen[key] = true
      if request and wanted(request) then found[#found + 1] = request end
    end
    cursor, count = next_cursor, count + #keys
  until not cursor or count >= LOOK_MAX
  table.sort(found, comes_before)
  return table.move(found, 1, math.min(#found, LIST_MAX), 1, {})
end

return requests
