-- Asks a person and waits for the answer, without holding anything up:
--   local decision, message, code = ask { session = sid, question = "Send this mail?",
--     action = "send_email", context = draft, who = { role = "approver" }, timeout = 300 }
--   if decision and decision.approved then ... end
--
-- The question lives in the store (hitl.requests), the wait in a task. Who waits listens before it
-- puts the question, and looks at the question itself every LOOK seconds: so it misses no decision,
-- neither one that comes at once nor one that was made while the link to the other nodes was down.
-- After a restart `ask.resume(id)` waits on; a question that was decided meanwhile answers at once.
local errors = require "web.errors"
local listen_to = require "web.listen"
local requests = require "hitl.requests"
local time = require "host.time"

local LOOK = 2
local OWN_TENANT = require("host.config").get "identity.tenant"

---@class web.Decision
---@field id string of the question
---@field status "approved"|"rejected"|"expired"
---@field approved boolean
---@field by? string the user who decided
---@field reason? string

---@class web.Question
---@field session string where it is asked: its events come on the topic "hitl" of this session
---@field question string
---@field action string a stable word for programs
---@field context? any plain data for who decides
---@field who? { role?: string, user?: string } who may decide; anyone of the tenant when absent
---@field timeout? number seconds; 300 when absent, at most 1500
---@field tenant? string the setting identity.tenant when absent
---@field by? string the user on whose behalf it is asked
---@field on_asked? fun(id: string) is told the id before the wait, to be kept for resume


local function decision_of(request)
  return {
    id = request.requestId, status = request.status, approved = request.status == "approved",
    by = request.decidedBy, reason = request.reason,
  }
end


local function gone()
  return nil, "the question is gone; questions live for 30 minutes", "gone"
end


-- The question as it is now; as it was, while the store is away and it can't have expired yet.
local function look(request)
  local ok, now = pcall(requests.current, request.tenantId, request.requestId)
  if ok then return now end
  if errors.is(now) and now.code == "unavailable" and time.now() < request.expiresAt + LOOK then
    return request
  end
  error(now, 0)
end


local function wait_for(request, events)
  while true do
    request = look(request)
    if not request then return gone() end
    if request.status ~= "pending" then return decision_of(request) end
    events:next(math.min(math.max(request.expiresAt - time.now(), 0.1), LOOK))
  end
end


local function listen(tenant, session)
  return listen_to(requests.topic(tenant, session), { mode = "log" })
end


local function ask(_, question)
  for _, field in ipairs { "session", "question", "action" } do
    if type(question[field]) ~= "string" or question[field] == "" then
      error(("ask needs %s, a text"):format(field), 3)
    end
  end
  local tenant = question.tenant or OWN_TENANT
  local events <close>, message, code = listen(tenant, question.session)
  if not events then return nil, message, code end
  local request = requests.create {
    tenant = tenant, session = question.session, action = question.action,
    question = question.question, context = question.context, who = question.who,
    timeout = question.timeout, by = question.by,
  }
  if question.on_asked then question.on_asked(request.requestId) end
  return wait_for(request, events)
end

local module = {}


--- Waits on for a question that was asked before, by whichever node.
---@param id string
---@param tenant? string
---@return web.Decision|nil
---@return string|nil message
---@return string|nil code "gone", "unavailable"
function module.resume(id, tenant)
  tenant = tenant or OWN_TENANT
  local request = requests.find(tenant, id)
  if not request then return gone() end
  if request.status ~= "pending" then return decision_of(request) end
  local events <close>, message, code = listen(tenant, request.sessionId)
  if not events then return nil, message, code end
  return wait_for(request, events)
end

--- Asks, and waits for the decision.
---@overload fun(question: web.Question): web.Decision|nil, string|nil, string|nil
return setmetatable(module, { __call = ask })
