-- An agent's answer as a stream of events, with a person in the middle of it.
--
--   POST /agent/{session} {"prompt"}             begins
--   GET  /sse/{id}                               the rest, with Last-Event-ID, on any node; the
--                                                first event `stream` names this address
--   POST /agent/{session} {"prompt","request"}   goes on from a question whose node has died
--
-- Events: thought, plan_step, tool_execution and content as the agent says them; hitl when a person
-- is asked, and when one has decided; error when the agent breaks off.
local ask = require "web.ask"
local config = require "host.config"
local http = require "host.http"
local json = require "host.json"
local web = require "web"

local GRACE = 300 -- seconds: a person may take longer than a phone keeps its line

local BODY = { fields = {
  prompt = { type = "string", min = 1, max = 4000 },
  request = { type = "string", max = 100, optional = true },
} }


local function say(send, event, data)
  return send { event = event, data = json.encode(data) }
end


-- Passes on what the agent says, until it is done, or wants something that a person must allow:
-- returns that. Its last event is `end`; a stream without it was cut.
local function follow(send, task)
  local feed <close> = http.events {
    url = config.app.agent .. "/run", method = "POST", json = task, allow_private = true,
  }
  for event in feed do
    if event.event == "approval" then return json.decode(event.data) end
    if event.event == "end" then return nil end
    send { event = event.event, data = event.data }
  end
  local why = feed.failure or "the agent broke off"
  say(send, "error", { message = why, code = feed.code or "reset" })
  return nil
end


-- Asks, or waits on for a question that was asked before.
local function decide(send, req, wanted)
  if req.valid.body.request then return ask.resume(req.valid.body.request, req.tenant) end
  return ask {
    session = req.params.session, tenant = req.tenant, by = req.claims.sub,
    action = wanted.action, question = wanted.question, context = wanted.context,
    on_asked = function(id)
      say(send, "hitl", { status = "pending", requestId = id, question = wanted.question,
        context = wanted.context })
    end,
  }
end


local function answer(send, req)
  local prompt, asked_before = req.valid.body.prompt, req.valid.body.request
  local wanted = not asked_before and follow(send, { prompt = prompt })
  if not wanted and not asked_before then return end
  local decision, message, code = decide(send, req, wanted)
  if not decision then
    say(send, "error", { message = message, code = code })
    return
  end
  say(send, "hitl", { status = decision.status, requestId = decision.id, by = decision.by,
    reason = decision.reason })
  follow(send, { prompt = prompt,
    decision = { approved = decision.approved, reason = decision.reason } })
end

return {
  path = "/agent/{session}",
  middleware = { "identity" },
  describe = { POST = { summary = "Gives an agent something to do", body = BODY } },
  POST = function(req)
    return web.sse(function(send) answer(send, req) end, { resume = true, grace = GRACE })
  end,
}
