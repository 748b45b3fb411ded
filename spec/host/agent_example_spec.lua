-- examples/agent as it lies there: its gateway on two nodes before its upstream agent.
local http = require "spec.support.http"
local json = require "host.json"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local PROMPT = { prompt = "tell Ann" }
local BEFORE = { "stream", "thought", "plan_step", "plan_step", "tool_execution", "hitl" }
local AFTER = { "hitl", "tool_execution", "content", "content", "end" }


local function agent(pace)
  return server.start { folder = "examples/agent/upstream", data = server.folder(), workers = 1,
    env = { AGENT_PACE = tostring(pace or 0.01) } }
end


local function gateway(upstream, redis)
  return server.start { folder = "examples/agent", data = server.folder(),
    env = { AGENT_URL = upstream.url },
    set = { ["identity.tenant"] = "acme", ["redis.url"] = redis and redis.url or nil,
      ["password.ln"] = 10 } }
end


local function token(app)
  local res = app:post("/api/auth/token", { json = { user_id = "ann", password = "a good password" } })
  return res:json().token
end


-- A stream of events as the answer to a POST.
local function begin(app, path, body, key)
  local events = http.events(app, path, { method = "POST", body = json.encode(body),
    headers = { ["Content-Type"] = "application/json", Authorization = "Bearer " .. key } })
  assert.equal(200, events.status)
  return events
end


-- Reads events of these names, in this order; returns them. Ids alone are none.
local function expect(events, names)
  local seen = {}
  for i, name in ipairs(names) do
    repeat seen[i] = assert(events:next(), "no event " .. name) until seen[i].data
    assert.equal(name, seen[i].event)
  end
  return seen
end


local function question_of(seen)
  local asked = json.decode(seen[#BEFORE].data)
  assert.equal("pending", asked.status)
  assert.equal("ann@example.org", asked.context.to)
  return asked.requestId
end


local function decide(app, how, id, key, reason)
  return app:post(("/api/aura/hitl/%s/%s"):format(how, id), { json = { userId = "ann", reason = reason },
    headers = { Authorization = "Bearer " .. key, ["X-User-ID"] = "ann", ["X-Tenant-ID"] = "acme" } })
end


describe("the example agent", function()
  it("stops at the question, and goes on as a person has decided", function()
    local up = agent()
    local app = gateway(up)
    local key = token(app)
    local events = begin(app, "/agent/s1", PROMPT, key)
    local id = question_of(expect(events, BEFORE))
    assert.equal(200, decide(app, "approve", id, key).status)
    local rest = expect(events, AFTER)
    assert.equal("approved", json.decode(rest[1].data).status)
    assert.equal("sent", json.decode(rest[2].data).result)
    assert.is_nil(events:next())
    events:close()
    events = begin(app, "/agent/s1", PROMPT, key)
    id = question_of(expect(events, BEFORE))
    assert.equal(200, decide(app, "reject", id, key, "not today").status)
    rest = expect(events, { "hitl", "thought", "content", "end" })
    assert.matches("not today", rest[2].data)
    events:close()
    app:stop()
    up:stop()
  end)

  it("needs a token, for the raw agent too", function()
    local up = agent()
    local app = gateway(up)
    assert.equal(401, app:post("/agent/s1", { json = PROMPT }).status)
    assert.equal(401, app:post("/api/agent/run", { json = PROMPT }).status)
    local events = begin(app, "/api/agent/run", PROMPT, token(app))
    expect(events, { "thought", "plan_step", "plan_step", "tool_execution", "approval", "end" })
    events:close()
    app:stop()
    up:stop()
  end)

  it("is gone on with by GET on another node, from the last event on", function()
    local up, redis = agent(), redis_server.start()
    local one, two = gateway(up, redis), gateway(up, redis)
    local key = token(one)
    local events = begin(one, "/agent/s2", PROMPT, key)
    local seen = expect(events, BEFORE)
    events:close()
    redis:freeze() -- in the middle of the stream and of the question
    wait.turn(function() end, 0.5)
    redis:thaw()
    local id = question_of(seen)
    wait.till(function() return decide(two, "approve", id, key).status ~= 503 end)
    local rest = two:sse(json.decode(seen[1].data).url,
      { headers = { ["Last-Event-ID"] = seen[#seen].id } })
    expect(rest, AFTER)
    rest:close()
    one:stop()
    two:stop()
    up:stop()
    redis:down()
  end)

  it("goes on from the question when its node has died", function()
    local up, redis = agent(), redis_server.start()
    local one, two = gateway(up, redis), gateway(up, redis)
    local key = token(one)
    local events = begin(one, "/agent/s3", PROMPT, key)
    local id = question_of(expect(events, BEFORE))
    one:crash()
    assert.is_nil(events:next()) -- cut, with no event that looks like an end
    events:close()
    assert.equal(200, decide(two, "approve", id, key).status)
    local again = begin(two, "/agent/s3", { prompt = PROMPT.prompt, request = id }, key)
    expect(again, { "stream", "hitl", "tool_execution", "content", "content", "end" })
    again:close()
    two:stop()
    up:stop()
    redis:down()
  end)

  it("says that the agent has died in the middle", function()
    local up = agent(30)
    local app = gateway(up)
    local events = begin(app, "/agent/s4", PROMPT, token(app))
    expect(events, { "stream", "thought" })
    up:crash()
    local broken = expect(events, { "error", "end" })
    assert.equal("reset", json.decode(broken[1].data).code)
    events:close()
    app:stop()
  end)
end)
