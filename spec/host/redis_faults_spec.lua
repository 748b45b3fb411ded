-- Redis as a part that may be missing, away for one node only, or tired of a slow reader.
local feed = require "spec.support.feed"
local http = require "spec.support.http"
local redis_server = require "spec.support.redis"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"


describe("a node", function()
  it("starts without Redis, serves what needs none, and all else when Redis comes", function()
    local redis = redis_server.start {}
    redis:down()
    local app = feed.node(redis)
    assert.equal(200, app:get("/hello").status)
    assert.equal("degraded", app:json("/health").status)
    assert.equal(503, app:get("/ready").status)
    local session = { session_id = "a", template = "<svg/>" }
    assert.equal(503, app:post("/api/session", { json = session }).status)
    local c = ws.connect(app, "/ws")
    c:text "nonsense"
    assert.matches("unknown_command", c:read_text(), 1, true)
    redis:up()
    wait.till(function() return app:get("/ready").status == 200 end, "readiness")
    assert.equal("ok", app:json("/health").status)
    feed.say_at_last(app, 1, {})
    assert.is_true((c:is_quiet())) -- the connection of before
    c:close()
    app:stop()
    redis:down()
  end)

  it("that is cut off serves its own clients, who get what they missed when it is back", function()
    local redis = redis_server.start {}
    local way = redis:proxy()
    local far, near = feed.node(way), feed.node(redis)
    local res = near:post("/api/session", { json = {
      session_id = "a", template = "<svg>{{ x }}</svg>", args = { x = 1 } } })
    assert.equal(201, res.status)
    local client, said, view = feed.follow(far), {}, http.pictures(far, "/stream/a")
    assert.equal("<svg>1</svg>", view:next())
    feed.say(near, 1, 5, said)
    client:till(5)
    way:cut { refuse = true }
    feed.say(near, 6, 10, said)
    near:put("/api/session/a", { json = { args = { x = 2 } } })
    assert.equal(503, far:post("/say", { body = "0" }).status)
    assert.equal(200, far:get("/hello").status)
    assert.is_true((client.c:is_quiet()))
    way:mend()
    view:till ">2<"
    client:till(10)
    client:has_all(said)
    assert.equal(0, client.gaps)
    far:stop()
    near:stop()
    redis:down()
  end)
end)


describe("a node that Redis drops, since it reads too slowly #workers", function()
  local redis, slow, writer

  setup(function()
    redis = redis_server.start {
      args = { "--client-output-buffer-limit", "pubsub 256kb 0 0" },
    }
    -- What was missed comes at once: 9 MB, more than a client may be behind by else.
    slow, writer = feed.node(redis, { ["limits.ws_queue"] = "64M" }), feed.node(redis)
  end)

  teardown(function()
    slow:stop()
    writer:stop()
    redis:down()
  end)

  local function subscribe_links()
    return select(2, redis:command("CLIENT", "LIST", "TYPE", "pubsub"):gsub("name=", ""))
  end

  -- Frozen until Redis has dropped it; `count` messages of `size` bytes are said meanwhile.
  local function fall_behind(first, count, size, said)
    local before = slow:metric "lunacast_redis_reconnects_total"
    slow:freeze()
    feed.say(writer, first, first + count - 1, said, size)
    wait.till(function() return subscribe_links() == 1 end, "Redis to drop it")
    slow:thaw()
    wait.till(function()
      return slow:metric "lunacast_redis_reconnects_total" > before
    end, "the new link")
  end

  it("reads what it missed, when that is kept", function()
    local client, said = feed.follow(slow), {}
    fall_behind(1, 90, 100000, said)
    feed.say_at_last(writer, 200, said)
    client:till(200)
    client:has_all(said)
    assert.equal(0, client.gaps)
  end)

  it("tells a gap, when there was more", function()
    local client, said = feed.follow(slow), {}
    fall_behind(1001, 150, 100000, said)
    feed.say_at_last(writer, 1200, said)
    client:till(1200)
    assert.equal(1, client.gaps)
  end)
end)
