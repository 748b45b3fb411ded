-- Human approval over HTTP: asking, looking, deciding, listening. Answers have the envelope that
-- clients of this flow expect (hitl.envelope).
local envelope = require "hitl.envelope"
local json = require "host.json"
local listen = require "web.listen"
local requests = require "hitl.requests"
local revocations = require "auth.revocations"
local web = require "web"

local PREFIXES = { "/api/aura/hitl", "/aura/hitl" }
local GUARDED = { "identity" }

local REQUEST = { fields = {
  requestId = { type = "string" }, sessionId = { type = "string" }, status = { type = "string" },
}, open = true }
local ANSWER = { fields = {
  status = { type = "string" }, success = { type = "boolean" }, message = { type = "string" },
  data = REQUEST, timestamp = { type = "integer" },
} }
local SESSION = { type = "string", min = 1, bytes = 80, pattern = "[^|*[:cntrl:]]+" }
local NEW = { fields = {
  sessionId = SESSION,
  actionType = { type = "string", min = 1, max = 100 },
  message = { type = "string", min = 1, max = 4000 },
  context = { type = "any", optional = true },
  timeout = { type = "integer", min = 1, max = 1500, optional = true },
  who = { fields = {
    role = { type = "string", min = 1, max = 100, optional = true },
    user = { type = "string", min = 1, max = 200, optional = true },
  }, optional = true },
} }
local APPROVAL = { fields = {
  userId = { type = "string", max = 200 },
  reason = { type = "string", max = 2000, optional = true },
}, open = true }


local function shown(request)
  local copy = {}
  for name, value in pairs(request) do copy[name] = value end
  copy.tenantId = nil
  return copy
end


local function create(req)
  local body = req.valid.body
  local request = requests.create {
    tenant = req.tenant, session = body.sessionId, action = body.actionType,
    question = body.message, context = body.context, who = body.who, timeout = body.timeout,
    by = req.claims.sub,
  }
  return envelope.success(201, "the request waits for a decision", shown(request))
end


local function no_such_request()
  web.throw(404, "not_found", "there is no such request; requests live for 30 minutes")
end


local function read(req)
  local request = requests.current(req.tenant, req.params.requestId)
  if not request then no_such_request() end
  return envelope.success(200, "found", shown(request))
end


local function list(req)
  local items = web.array()
  local found = requests.list(req.tenant, function(request)
    return requests.concerns(request, req.claims)
  end)
  for i, request in ipairs(found) do items[i] = shown(request) end
  return envelope.success(200, "found", { items = items, tenant = req.tenant })
end


-- Who decides says twice who it is, as clients of the original do; all must agree.
local function check_user(req)
  if not req:header "x-user-id" or not req:header "x-tenant-id" then
    web.throw(401, "missing_token", "a decision needs the headers X-User-ID and X-Tenant-ID",
      { ["WWW-Authenticate"] = "Bearer" })
  end
  if req.valid.body.userId ~= req.claims.sub then
    web.throw(403, "forbidden", "User ID mismatch between JWT and body")
  end
end


local function decide(status, message)
  return function(req)
    check_user(req)
    local tenant, id = req.tenant, req.params.requestId
    local request = requests.find(tenant, id)
    if not request then no_such_request() end
    if not requests.may_decide(request, req.claims) then
      web.throw(403, "forbidden", "this decision is for somebody else")
    end
    local won
    request, won = requests.decide(tenant, id, {
      status = status, by = req.claims.sub, reason = req.valid.body.reason,
    })
    if not request then no_such_request() end
    if won then return envelope.success(200, message, shown(request)) end
    web.throw(409, "decided", ("it was %s already%s"):format(request.status,
      request.decidedBy and " by " .. request.decidedBy or ""), nil, { data = shown(request) })
  end
end


local function signal(req)
  local found = requests.signal(req.tenant, req.params.sessionId)
  if not found then
    web.throw(404, "not_found", "nothing was decided in this session in the last five minutes")
  end
  return envelope.success(200, "found", found)
end


-- Events "hitl" as they happen; data is {"event":"asked"|"decided","request":{...}}. Who has the
-- head of the answer misses none that comes after it.
local function stream(topic_of, wanted)
  return function(req)
    local subscription, message, code = listen(topic_of(req), { mode = "log" })
    if not subscription then web.throw_world(message, code, "the events can't be followed now") end
    return web.sse(function(send)
      local events <close> = subscription
      while true do
        local payload = json.decode((events:next())).payload
        if not wanted or wanted(payload.request, req.claims) then
          send { event = "hitl", data = json.encode { event = payload.event,
            request = shown(payload.request) } }
        end
      end
    end, { identity = revocations.identity(req.claims) })
  end
end


local function session_topic(req)
  return requests.topic(req.tenant, req.params.sessionId)
end


local function inbox_topic(req)
  return requests.inbox_topic(req.tenant)
end


local function decision(path, status, message)
  return {
    path = path, middleware = GUARDED, errors = envelope.error,
    describe = { POST = { summary = message, body = APPROVAL, answers = { [200] = ANSWER },
      tags = { "approvals" } } },
    POST = decide(status, message),
  }
end


local function routes_below(prefix)
  return {
    {
      path = prefix .. "/requests", middleware = GUARDED, errors = envelope.error,
      describe = {
        POST = { summary = "Ask for a decision", body = NEW, answers = { [201] = ANSWER },
          tags = { "approvals" } },
        GET = { summary = "What waits, and what was decided lately", tags = { "approvals" } },
      },
      POST = create, GET = list,
    },
    { path = prefix .. "/requests/{requestId}", middleware = GUARDED, errors = envelope.error,
      GET = read },
    decision(prefix .. "/approve/{requestId}", "approved", "the request is approved"),
    decision(prefix .. "/reject/{requestId}", "rejected", "the request is rejected"),
    { path = prefix .. "/signals/{sessionId}", middleware = GUARDED, errors = envelope.error,
      GET = signal },
    { path = prefix .. "/stream/{sessionId}", middleware = GUARDED, errors = envelope.error,
      GET = stream(session_topic) },
    { path = prefix .. "/inbox", middleware = GUARDED, errors = envelope.error,
      GET = stream(inbox_topic, requests.concerns) },
  }
end

local all = {}
for _, prefix in ipairs(PREFIXES) do
  for _, route in ipairs(routes_below(prefix)) do all[#all + 1] = route end
end

return all
