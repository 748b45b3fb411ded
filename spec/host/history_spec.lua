-- Topics that keep their messages: positions, resume, pages, rules; on both stores.
local json = require "host.json"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local CONFIG = [[return { topics = {
  ["news.*"] = { history = { messages = 5, age = 60 } },
  ["brief.*"] = { history = { age = 1 } },
  ["small.*"] = { history = { bytes = 300 } },
} }]]

-- Functions can't stand in config.lua.
local TOPICS = [[return { rules = {
  ["plain.*"] = { mode = "log" },
  ["old[*"] = { history = { messages = 5 } },
  ["news.closed"] = { history = { messages = 5 }, publish = { role = "editor" },
    subscribe = function(identity) return identity.user == "ada", "ada's only", "not_ada" end },
} }]]

local ROUTE = [[
local hub = require "host.hub"
local web = require "web"
return {
  { path = "/publish/{topic}", POST = function(req)
    local ok, position = hub.publish(req.params.topic, req.body)
    return web.json { ok = ok, position = position }
  end },
  { path = "/history/{topic}", GET = function(req)
    return web.json(hub.history(req.params.topic, {
      since = req.query.since, limit = tonumber(req.query.limit),
      reverse = req.query.reverse ~= nil,
    }))
  end },
  { path = "/rule/{topic}", GET = function(req) return web.json(hub.rule(req.params.topic)) end },
}
]]

local FILES = { ["config.lua"] = CONFIG, ["lua/topics/spec.lua"] = TOPICS,
  ["lua/routes/spec.lua"] = ROUTE }


local function start(set)
  local all = { ["password.ln"] = 10 }
  for name, value in pairs(set) do all[name] = value end
  return server.start { workers = 2, set = all, files = FILES }
end


local function command(c, name, fields)
  c:text(name .. ":" .. json.encode(fields))
  return json.decode(c:read_text())
end


local function subscribe(c, topic, fields)
  local all = { topic = topic, session_id = "s" }
  for name, value in pairs(fields or {}) do all[name] = value end
  return command(c, "subscribe-json", all)
end


local function publish(c, topic, first, last)
  for i = first, last or first do
    c:text("publish-json:" .. json.encode {
      topic = topic, session_id = "s", payload = i, publisher_name = "p", timestamp = "t",
    })
  end
  c:text "sync"
  while not c:read_text():find("unknown_command", 1, true) do end
end


local function payloads(c, first, last)
  local position
  for i = first, last do
    local message = json.decode(c:read_text())
    assert.equal(i, message.data and message.data.payload, json.encode(message))
    assert.equal(tostring(i), message.position:match ":(%d+)$")
    position = message.position
  end
  return position
end


local function suite(name, make)
  describe("a topic with history " .. name .. " #workers", function()
    local app, undo, set

    setup(function()
      set, undo = make()
      app = start(set)
    end)

    teardown(function()
      app:stop()
      if undo then undo() end
    end)

    it("gives who comes back what it missed, and then what comes, on any worker", function()
      local c, writer = ws.connect(app, "/ws"), ws.connect(app, "/ws")
      local begun = subscribe(c, "news.a")
      assert.equal("subscribed", begun.type)
      assert.equal("news.a", begun.topic)
      assert.equal("s", begun.session_id)
      assert.matches("^%x+:0$", begun.position)
      assert.is_nil(begun.recovered)
      publish(writer, "news.a", 1, 2)
      local had = payloads(c, 1, 2)
      c:close()
      publish(writer, "news.a", 3, 4)
      for _ = 1, 4 do
        local back = ws.connect(app, "/ws")
        local answer = subscribe(back, "news.a", { since = had })
        assert.is_true(answer.recovered)
        assert.equal(had, answer.position)
        payloads(back, 3, 4)
        assert.is_true(back:is_quiet())
        back:close()
      end
      local last = ws.connect(app, "/ws")
      subscribe(last, "news.a", { since = had })
      payloads(last, 3, 4)
      publish(writer, "news.a", 5)
      payloads(last, 5, 5)
      last:close()
      writer:close()
    end)

    it("says so when something is lost, and gives the newest", function()
      local c, writer = ws.connect(app, "/ws"), ws.connect(app, "/ws")
      local begun = subscribe(c, "news.b")
      publish(writer, "news.b", 1, 7)
      payloads(c, 1, 7)
      local late = ws.connect(app, "/ws")
      local answer = subscribe(late, "news.b", { since = begun.position })
      assert.is_false(answer.recovered)
      payloads(late, 7, 7)
      for _, since in ipairs { "1:1", "no position", "ffffffffffffffff:9" } do
        answer = subscribe(late, "news.b", { since = since, history = 2 })
        assert.is_false(answer.recovered)
        assert.matches(":5$", answer.position)
        payloads(late, 6, 7)
      end
      c:close()
      late:close()
      writer:close()
    end)

    it("gives a new client as much as it asks for", function()
      local writer, c = ws.connect(app, "/ws"), ws.connect(app, "/ws")
      publish(writer, "news.c", 1, 4)
      assert.is_nil(subscribe(c, "news.c", { history = 3 }).recovered)
      payloads(c, 2, 4)
      local page = command(c, "history-json", { topic = "news.c", session_id = "s", limit = 2 })
      assert.equal("history", page.type)
      assert.equal(1, page.items[1].data.payload)
      assert.equal(2, #page.items)
      assert.is_nil(page.recovered)
      page = command(c, "history-json",
        { topic = "news.c", session_id = "s", since = page.items[2].position })
      assert.is_true(page.recovered)
      assert.equal(3, page.items[1].data.payload)
      assert.equal(2, #page.items)
      assert.matches(":4$", page.position)
      c:close()
      writer:close()
    end)

    it("is read and written by scripts, with positions", function()
      for i = 1, 3 do
        local res = app:post("/publish/news.script", { body = "m" .. i })
        assert.matches("^%x+:" .. i .. "$", res:json().position)
      end
      local page = app:get("/history/news.script?reverse=1&limit=2"):json()
      assert.equal("m3", page.items[1].data)
      assert.equal("m2", page.items[2].data)
      assert.is_nil(page.recovered)
      page = app:get("/history/news.script?since=" .. page.items[2].position):json()
      assert.is_true(page.recovered)
      assert.equal(1, #page.items)
      assert.near(os.time(), page.items[1].time, 60)
      assert.is_false(app:get("/history/news.script?since=1:1"):json().recovered)
      assert.equal(0, #app:get("/history/none"):json().items)
      assert.is_nil(app:post("/publish/plain.x", { body = "m" }):json().position)
      assert.is_nil(app:post("/publish/other", { body = "m" }):json().position)
    end)

    it("is read in pages that say whether anything before them is lost", function()
      local at = {}
      for i = 1, 8 do -- 4 to 8 are kept
        at[i] = app:post("/publish/news.pages", { body = "m" .. i }):json().position
      end
      local function page(query)
        local found, items = app:get("/history/news.pages?" .. query):json(), {}
        for i, item in ipairs(found.items) do items[i] = item.data end
        return table.concat(items, " "), found.recovered, found.position
      end
      local cases = {
        { "", "m4 m5 m6 m7 m8", nil }, { "limit=2", "m4 m5", nil }, { "limit=2&reverse=1", "m8 m7", nil },
        { "since=" .. at[3], "m4 m5 m6 m7 m8", true }, { "since=" .. at[2], "m4 m5 m6 m7 m8", false },
        { "limit=2&since=" .. at[4], "m5 m6", true }, { "limit=2&reverse=1&since=" .. at[4], "m8 m7", true },
        { "limit=0&since=" .. at[4], "", true }, { "limit=0&since=" .. at[2], "", false },
        { "since=" .. at[8], "", true },
        { "since=" .. at[8]:gsub(":8$", ":9"), "m4 m5 m6 m7 m8", false },
        { "since=" .. at[8]:gsub(":8$", ":9999999999999999999"), "m4 m5 m6 m7 m8", false },
        { "since=1:8", "m4 m5 m6 m7 m8", false },
      }
      for _, case in ipairs(cases) do
        local items, recovered, position = page(case[1])
        assert.same({ case[2], case[3], at[8] }, { items, recovered, position }, case[1])
      end
    end)

    it("follows the rule of its name", function()
      assert.same({ mode = "log", presence = false, rate = 0, max_wait = 0,
        history = { messages = 5, bytes = 1048576, age = 60 } }, app:get("/rule/news.x"):json())
      assert.equal("log", app:get("/rule/plain.x"):json().mode)
      assert.equal("latest", app:get("/rule/news"):json().mode)
      local key = "/rule/pubsub:0:1:snews.x"
      assert.equal("log", app:get(key):json().mode)
    end)

    it("lets clients publish and subscribe as its rule says", function()
      local c = ws.connect(app, "/ws")
      assert.equal("not_ada", subscribe(c, "news.closed").code)
      c:text "subscribe:news.closed|s"
      assert.equal("not_ada", json.decode(c:read_text()).code)
      assert.equal("not_ada",
        command(c, "history-json", { topic = "news.closed", session_id = "s" }).code)
      assert.equal("forbidden", command(c, "publish-json", { topic = "news.closed", payload = 1 }).code)
      c:close()
    end)

    it("comes with its position to who follows a pattern, as the topic that it is", function()
      local c, writer = ws.connect(app, "/ws"), ws.connect(app, "/ws")
      assert.equal("subscribed", subscribe(c, "old?*").type)
      assert.is_nil(subscribe(c, "old[*").position)
      publish(writer, "old[.p", 1)
      publish(writer, "old[", 2)
      publish(writer, "old", 3)
      publish(writer, "oldx.", 4)
      local message = json.decode(c:read_text())
      assert.equal("pubsub:0:1:sold[.p", message.channel)
      assert.matches(":1$", message.position)
      assert.equal("pubsub:0:1:sold[", json.decode(c:read_text()).channel)
      assert.is_true((c:is_quiet()))
      c:text "unsubscribe:old[*|s"
      publish(c, "old[.p", 5)
      assert.is_true((c:is_quiet()))
      assert.equal("bad_topic", command(c, "publish-json", { topic = "old*", payload = 1 }).code)
      assert.equal("bad_topic", subscribe(c, "o*ld").code)
      assert.equal("bad_topic", subscribe(c, "*").code)
      c:close()
      writer:close()
    end)

    it("is in no pattern of who may not subscribe to it", function()
      local c = ws.connect(app, "/ws")
      for _, pattern in ipairs { "n*", "news.*", "news.closed*" } do
        assert.equal("not_ada", subscribe(c, pattern).code)
      end
      c:close()
    end)

    it("ages, and still knows who has missed something", function()
      local c, writer = ws.connect(app, "/ws"), ws.connect(app, "/ws")
      subscribe(c, "brief.a")
      publish(writer, "brief.a", 1, 2)
      local first = payloads(c, 1, 1)
      local last = payloads(c, 2, 2)
      wait.till(function()
        return #app:get("/history/pubsub:0:1:sbrief.a"):json().items == 0
      end, "the messages are too old")
      assert.is_false(subscribe(c, "brief.a", { since = first }).recovered)
      assert.is_true(subscribe(c, "brief.a", { since = last }).recovered)
      publish(writer, "brief.a", 3)
      payloads(c, 3, 3)
      c:close()
      writer:close()
    end)

    it("is bounded by bytes", function()
      local writer = ws.connect(app, "/ws")
      publish(writer, "small.a", 1, 9)
      local items = app:get("/history/pubsub:0:1:ssmall.a"):json().items
      assert.is_true(#items >= 2 and #items <= 4)
      assert.matches(":9$", items[#items].position)
      writer:close()
    end)

    it("has no positions where no rule keeps a history", function()
      local c, writer = ws.connect(app, "/ws"), ws.connect(app, "/ws")
      local begun = subscribe(c, "other", { since = "1:1" })
      assert.is_nil(begun.position)
      publish(writer, "other", 1)
      local message = json.decode(c:read_text())
      assert.is_nil(message.position)
      assert.equal(1, message.data.payload)
      c:close()
      writer:close()
    end)

    it("keeps its positions through a new start where the store does", function()
      local writer, c = ws.connect(app, "/ws"), ws.connect(app, "/ws")
      subscribe(c, "news.d")
      publish(writer, "news.d", 1)
      local had = payloads(c, 1, 1)
      publish(writer, "news.d", 2)
      c:close()
      writer:close()
      app:stop()
      app = start(set)
      local back = ws.connect(app, "/ws")
      local answer = subscribe(back, "news.d", { since = had })
      assert.equal(set["redis.url"] ~= nil, answer.recovered)
      if answer.recovered then payloads(back, 2, 2) end
      back:close()
    end)
  end)
end

suite("in the process", function() return {} end)

describe("a reload", function()
  it("brings new rules, also to topics that somebody follows", function()
    local app = server.start { workers = 2, files = FILES }
    local c, writer = ws.connect(app, "/ws"), ws.connect(app, "/ws")
    assert.is_nil(subscribe(c, "later.a").position)
    server.write(app.folder, { ["lua/topics/spec.lua"] =
      [[return { rules = { ["later.*"] = { history = { messages = 3 } } } }]] })
    wait.till(function() return app:get("/rule/later.a"):json().history end, "the new rule")
    publish(writer, "later.a", 1)
    assert.matches(":1$", json.decode(c:read_text()).position)
    assert.matches(":1$", subscribe(writer, "later.a").position)
    c:close()
    writer:close()
    app:stop()
  end)
end)

suite("in Redis", function()
  local redis = redis_server.start {}
  return { ["redis.url"] = redis.url }, function() redis:down() end
end)
