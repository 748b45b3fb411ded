-- POST /run {"prompt"}: thinks, plans, uses a tool, and stops where a person must allow the rest.
-- POST /run {"prompt","decision":{"approved","reason"?}}: does it, or does without.
local config = require "host.config"
local json = require "host.json"
local time = require "host.time"
local web = require "web"

local BODY = { fields = {
  prompt = { type = "string", min = 1, max = 4000 },
  decision = { fields = {
    approved = { type = "boolean" },
    reason = { type = "string", max = 2000, optional = true },
  }, optional = true },
} }


local function before(prompt)
  local draft = { to = "ann@example.org", subject = "Your request", text = "About: " .. prompt }
  return {
    { "thought", { text = "They want: " .. prompt } },
    { "plan_step", { step = 1, text = "Find out whom to write to" } },
    { "plan_step", { step = 2, text = "Write the mail and send it" } },
    { "tool_execution", { tool = "search_contacts", result = draft.to } },
    { "approval", { action = "send_email", question = "Send this mail?", context = draft } },
  }
end


local function after(decision)
  if not decision.approved then
    return {
      { "thought", { text = "They do not want it: " .. (decision.reason or "no reason given") } },
      { "content", { text = "I have not sent the mail." } },
    }
  end
  return {
    { "tool_execution", { tool = "send_email", result = "sent" } },
    { "content", { text = "The mail to Ann " } },
    { "content", { text = "is on its way." } },
  }
end

return {
  path = "/run",
  describe = { POST = { summary = "One part of a task, as events", body = BODY } },
  POST = function(req)
    local body = req.valid.body
    local steps = body.decision and after(body.decision) or before(body.prompt)
    return web.sse(function(send)
      for _, step in ipairs(steps) do
        if not send { event = step[1], data = json.encode(step[2]) } then return end
        time.sleep(config.app.pace)
      end
    end)
  end,
}
