-- Publish/subscribe over plain HTTP: GET /sse and POST /publish, beside /ws.
local http = require "spec.support.http"
local json = require "host.json"
local redis = require "spec.support.redis"
local server = require "spec.support.server"
local ws = require "spec.support.ws"

local TOPICS = [[
return { rules = {
  kept = { mode = "log", history = { messages = 20, bytes = 100000, age = 300 } },
  ["k*"] = { mode = "log", history = { messages = 20, bytes = 100000, age = 300 } },
  secret = { subscribe = "user", publish = { role = "editor" } },
} }
]]


local function open(app, path, headers)
  local c = http.connect(app)
  c:send(http.format("GET", path, { headers = headers }))
  local res = assert(http.read_head(c))
  if res.status == 200 then
    assert(c:read_until("\n"):match "^retry: %d+\n$")
  else
    res.body = c:read(tonumber(res.headers["content-length"]))
  end
  return c, res
end


local function event(c)
  local block = assert(c:read_until("\n\n"))
  local fields = {}
  for name, value in block:gmatch "(%w+): ([^\n]*)\n" do fields[name] = value end
  return fields
end


local CROWD = 1000


-- As after a restart of a proxy: all ask at once, and go on where they were. The events and `retry`
-- of each.
local function come_back(app, path, position)
  local crowd, events, retries = {}, {}, {}
  for i = 1, CROWD do
    crowd[i] = http.connect(app)
    crowd[i]:send(http.format("GET", path, { headers = { ["Last-Event-ID"] = position } }))
  end
  for i, c in ipairs(crowd) do
    assert.equal(200, assert(http.read_head(c, 60)).status)
    retries[i] = tonumber(assert(c:read_until("\n", 60)):match "^retry: (%d+)\n$")
    repeat events[i] = event(c) until events[i].data
    c:close()
  end
  return events, retries
end


local function publish(app, object, token)
  return app:post("/publish", { json = object, token = token })
end


for _, kind in ipairs { "embedded", "redis" } do
  describe("events of a topic, on " .. kind, function()
    local app, store
    setup(function()
      store = kind == "redis" and redis.start()
      app = server.start { workers = 2, files = { ["lua/topics/kept.lua"] = TOPICS },
        set = { ["password.ln"] = 10, ["redis.url"] = store and store.url or nil,
          ["limits.per_address"] = 0 } }
    end)
    teardown(function()
      app:stop()
      if store then store:down() end
    end)

    it("reach a thousand that come back at once, who then know when to come back apart", function()
      local path = "/sse?topic=kept&session_id=storm"
      local first = open(app, path)
      local position = event(first).id
      publish(app, { topic = "kept", session_id = "storm", payload = "missed" })
      local events, retries = come_back(app, path, position)
      local quarters = { 0, 0, 0, 0 }
      for i = 1, CROWD do
        assert.matches("missed", events[i].data)
        local quarter = math.min(4, (retries[i] - 1000) // 250 + 1)
        quarters[quarter] = quarters[quarter] + 1
      end
      for _, n in ipairs(quarters) do assert.is_true(n > CROWD / 8, n .. " in a quarter") end
      first:close()
    end)

    it("of several topics go on where each one was left", function()
      local first = {}
      for i, place in ipairs { { "ka", "s1" }, { "kb", "s2" } } do
        for n = 1, 3 do
          local res = publish(app, { topic = place[1], session_id = place[2], payload = n })
          if n == i then first[i] = res:json().position end
        end
      end
      local path = "/sse?topic=ka&topic=kb&session_id=s1&session_id=s2&since=%s&since=%s"
      local function payloads(c, count)
        local got = {}
        for i = 1, count do
          local message = json.decode(event(c).data)
          got[i] = message.data.topic .. message.data.payload
        end
        return table.concat(got, " ")
      end
      local c = open(app, path:format(first[1], first[2]))
      assert.equal("ka2 ka3 kb3", payloads(c, 3))
      c:close()
      c = open(app, path:format("", first[2]))
      assert.equal("kb3", payloads(c, 1))
      c:close()
      for _, wrong in ipairs { "/sse?topic=a&topic=b&since=x", "/sse?topic=a&topic=b&topic=c&session_id=s&session_id=t" } do
        local other, res = open(app, wrong)
        assert.equal(400, res.status)
        other:close()
      end
    end)

    it("bring what WebSockets and /publish say, once each and in order", function()
      local c = open(app, "/sse?topic=kt&session_id=s")
      assert.is_string(event(c).id)
      local other = ws.connect(app, "/ws")
      other:text "subscribe-json:{\"topic\":\"kt\",\"session_id\":\"s\"}"
      assert.matches('"subscribed"', other:read_text())
      other:text 'publish-json:{"topic":"kt","session_id":"s","payload":1,"timestamp":"x","publisher_name":"n"}'
      local first = event(c)
      assert.equal('{"topic":"kt","session_id":"s","payload":1,"timestamp":"x","publisher_name":"n"}', first.data)
      local res = publish(app, { topic = "kt", session_id = "s", payload = { a = json.null } })
      assert.equal(200, res.status)
      local second = event(c)
      assert.equal(res:json().position, second.id)
      local object = json.decode(second.data)
      assert.equal("anonymous", object.publisher_name)
      assert.is_string(object.timestamp)
      -- a cursor of one transport is good on the other
      local one, two = json.decode(other:read_text()), json.decode(other:read_text())
      assert.equal(first.id, one.position)
      assert.equal(second.id, two.position)
      c:close()
      c = open(app, "/sse?topic=kt&session_id=s&since=" .. one.position)
      assert.equal(first.id, event(c).id)
      assert.equal(second.data, event(c).data)
      c:close()
      c = open(app, "/sse?topic=kt&session_id=s&since=rubbish", { ["Last-Event-ID"] = first.id })
      event(c)
      assert.equal(second.data, event(c).data)
      c:close()
      other:close()
    end)

    it("stay in their session, tenant and topic", function()
      local mine = open(app, "/sse?topic=kiso&session_id=a")
      event(mine)
      publish(app, { topic = "kiso", session_id = "b", payload = "other session" })
      publish(app, { topic = "kiso2", session_id = "a", payload = "other topic" })
      publish(app, { topic = "kiso", payload = "no session" })
      publish(app, { topic = "kiso", session_id = "a", payload = "mine" })
      assert.matches('"mine"', event(mine).data)
      mine:close()
    end)

    it("come in envelopes when there are several topics", function()
      local c = open(app, "/sse?topic=kx&topic=ky&session_id=m")
      local position = publish(app, { topic = "ky", session_id = "m", payload = 2 }):json().position
      local envelope = json.decode(event(c).data)
      assert.equal(position, envelope.position)
      assert.equal(2, envelope.data.payload)
      assert.matches("ky$", envelope.channel)
      c:close()
    end)

    it("of all topics that begin alike come in envelopes, each with its own position", function()
      local c = open(app, "/sse?topic=kp.*&session_id=p")
      local mixed = open(app, "/sse?topic=kp.*&session_id=p&topic=other&since=&since=")
      for _, topic in ipairs { "kp", "kq.a", "kp.a", "kp.b" } do
        publish(app, { topic = topic, session_id = "q", payload = 0 })
        local position = publish(app, { topic = topic, session_id = "p", payload = topic }):json().position
        for _, stream in ipairs(topic:find "^kp%." and { c, mixed } or {}) do
          local got = event(stream)
          local envelope = json.decode(got.data)
          assert.is_nil(got.id)
          assert.same({ "pubsub:0:1:p" .. topic, position, topic },
            { envelope.channel, envelope.position, envelope.data.payload })
        end
      end
      publish(app, { topic = "other", session_id = "p", payload = 1 })
      assert.equal(1, json.decode(event(mixed).data).data.payload)
      c:close()
      mixed:close()
      for path, status in pairs { ["*"] = 400, ["k*p"] = 400, ["kp.*&presence=true"] = 400, ["s*"] = 403 } do
        assert.equal(status, app:get("/sse?session_id=p&topic=" .. path).status, path)
      end
    end)

    it("give so many of the newest messages first", function()
      for i = 1, 3 do publish(app, { topic = "kh", session_id = "h", payload = i }) end
      local c = open(app, "/sse?topic=kh&session_id=h&history=2")
      event(c)
      assert.equal(2, json.decode(event(c).data).payload)
      assert.equal(3, json.decode(event(c).data).payload)
      c:close()
      assert.equal(400, app:get("/sse?topic=kh&history=many").status)
    end)

    it("are for who has the right token", function()
      local made = app:post("/auth/token",
        { json = { username = "ann", password = "first use claims it", session_id = "room" } }):json()
      local c, res = open(app, "/sse?topic=kt&token=" .. made.token)
      assert.equal(200, res.status)
      event(c)
      assert.equal(200, publish(app, { topic = "kt", payload = "hi" }, made.token).status)
      local object = json.decode(event(c).data)
      assert.equal("ann", object.publisher_name)
      c:close()
      for path, status in pairs {
        ["/sse?topic=kt&token=" .. made.token .. "&session_id=else"] = 403,
        ["/sse?topic=kt&token=x.y.z"] = 401,
        ["/sse"] = 400,
        ["/sse?topic=a|b"] = 400,
        ["/sse?topic=kt&session_id="] = 400,
        ["/sse?topic=secret"] = 403,
        ["/sse?" .. ("topic=kt&"):rep(129)] = 400,
      } do
        assert.equal(status, app:get(path).status, path)
      end
      assert.equal(403, publish(app, { topic = "kt", payload = 1, session_id = "else" }, made.token).status)
      assert.equal(403, publish(app, { topic = "secret", payload = 1 }, made.token).status)
      assert.equal(401, publish(app, { topic = "kt", payload = 1 }, "x.y.z").status)
      assert.equal(400, publish(app, { topic = "kt" }).status)
      assert.equal(400, app:post("/publish", { body = "{" }).status)
    end)
  end)
end


describe("a server that wants tokens", function()
  it("has no events for others", function()
    local app = server.start { set = { ["pubsub.anonymous"] = false, ["password.ln"] = 10 } }
    assert.equal(401, app:get("/sse?topic=kt").status)
    assert.equal(401, publish(app, { topic = "kt", payload = 1 }).status)
    app:stop()
  end)
end)
