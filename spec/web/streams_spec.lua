local App = require "spec.support.app"

local POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


describe("a stream", function()
  local app

  before_each(function()
    app = App.new()
    app:post("/api/session", { session_id = "a", template = "<svg>{{ x }}</svg>", args = { x = 1 } })
    app.hub.live = {}
  end)

  it("is multipart on the session's topic, which is live with the newest picture", function()
    local res = app:get "/stream/a"
    assert.equal(200, res.status)
    assert.equal("mixed", res.stream.kind)
    assert.equal("session:a", res.stream.topic)
    assert.equal("<svg>1</svg>", app.hub.live["session:a"].data)
    assert.equal(app:get("/api/session/a").json.version, app.hub.live["session:a"].version)
    assert.equal(app.world.now + 86400, app.hub.live["session:a"].expires)
  end)

  it("holds its watch until C has subscribed it", function()
    local res = app:get "/stream/a"
    assert.equal(1, app.hub.watching)
    assert.is_nil(res.stream.watch.closed)
  end)

  it("needs no store and no rendering while the topic is live", function()
    app:get "/stream/a"
    local rendered = app.world.rendered
    app.store.before = function(operation)
      if operation == "get" then return "away", "unavailable" end
    end
    assert.equal(200, app:get("/stream/a").status)
    assert.equal(rendered, app.world.rendered)
  end)

  it("misses no update between reading and listening", function()
    local done
    app.store.before = function(operation)
      if operation == "get" and not done then
        done = true
        assert.equal(1, app.hub.watching)
        app:put("/api/session/a", { args = { x = 2 } })
      end
    end
    assert.equal(200, app:get("/stream/a").status)
    assert.equal("<svg>2</svg>", app.hub.live["session:a"].data)
  end)

  it("has the headers of a stranger's picture, and asks proxies not to hold it back", function()
    local headers = app:get("/stream/a").headers
    assert.equal(POLICY, headers["Content-Security-Policy"])
    assert.equal("nosniff", headers["X-Content-Type-Options"])
    assert.equal("no-store", headers["Cache-Control"])
    assert.equal("no", headers["X-Accel-Buffering"])
  end)

  it("is made of events where they are asked for", function()
    local res = app:get("/stream/a", { Accept = "text/event-stream" })
    assert.equal("sse", res.stream.kind)
    assert.equal(POLICY, res.headers["Content-Security-Policy"])
  end)

  it("begins with bytes to skip for an <img> of another origin, which browsers hold back", function()
    local function preamble(site, accept)
      local headers = { Accept = accept or "image/avif,image/webp,*/*", ["Sec-Fetch-Site"] = site }
      return app:get("/stream/a", headers).stream.preamble
    end
    assert.is_true(#preamble "cross-site" >= 1024)
    assert.is_true(#preamble "same-site" >= 1024)
    assert.is_true(#preamble(nil) >= 1024)
    assert.is_nil(preamble "same-origin")
    assert.is_nil(preamble("cross-site", "*/*"))
    assert.is_nil(app:get("/stream/a").stream.preamble)
  end)

  it("tells event sources when to come back, not all at once", function()
    local seen = {}
    for _ = 1, 20 do
      local preamble = app:get("/stream/a", { Accept = "text/event-stream" }).stream.preamble
      local ms = tonumber(preamble:match "^retry: (%d+)\n$")
      assert.is_true(ms >= 1000 and ms <= 2000)
      seen[ms] = true
    end
    assert.truthy(next(seen, next(seen)))
  end)

  it("is a page for a navigation that tells no destination (plain http)", function()
    local headers = { Accept = "text/html,*/*", ["Upgrade-Insecure-Requests"] = "1" }
    assert.equal("text/html; charset=utf-8", app:get("/stream/a", headers).type)
    assert.equal("mixed", app:get("/stream/a", { Accept = "text/html" }).stream.kind)
  end)

  it("is a page in a person's tab, unless raw=1 says otherwise", function()
    local tab = { ["Sec-Fetch-Dest"] = "document", Accept = "text/html" }
    local res = app:get("/stream/a", tab)
    assert.equal("text/html; charset=utf-8", res.type)
    assert.truthy(res.body:find('<img src="/stream/a?raw=1"', 1, true))
    assert.truthy(res.headers["Content-Security-Policy"]:find("script-src 'sha256-", 1, true))
    assert.equal("mixed", app:get("/stream/a?raw=1", tab).stream.kind)
    assert.equal("mixed", app:get("/stream/a", { ["Sec-Fetch-Dest"] = "image" }).stream.kind)
    assert.equal("mixed", app:get("/stream/a", { ["Sec-Fetch-Dest"] = "iframe" }).stream.kind)
  end)

  it("tells a person when there is no picture", function()
    local res = app:get("/stream/b", { ["Sec-Fetch-Dest"] = "document" })
    assert.equal(404, res.status)
    assert.equal("text/html; charset=utf-8", res.type)
  end)

  it("is 404 for unknown and for impossible names, and leaves no watch", function()
    for _, path in ipairs { "/stream/b", "/stream/u/b", "/stream/a:b", "/stream/a/b c", "/svg/b",
      "/svg/x:y", "/svg/u/b" } do
      local res = app:get(path)
      assert.equal(404, res.status, path)
      assert.equal("not_found", res.json.code)
    end
    assert.equal(0, app.hub.watching)
  end)

  it("answers HEAD", function()
    assert.equal(200, app:head("/stream/a").status)
    assert.equal(200, app:head("/svg/a").status)
  end)

  it("allows GET only", function()
    local res = app:put("/stream/a", {})
    assert.equal(405, res.status)
    assert.equal("GET, HEAD, OPTIONS", res.headers.Allow)
    assert.equal(204, app:options("/stream/a").status)
  end)

  it("shows a user's session under the user's name, without a token", function()
    local ann = app:login "ann"
    app:post("/api/user/ann/session", { session_id = "s", template = "<svg>ann</svg>" }, ann)
    app.hub.live = {}
    assert.equal("user:ann:session:s", app:get("/stream/ann/s").stream.topic)
    assert.equal("<svg>ann</svg>", app.hub.live["user:ann:session:s"].data)
    assert.equal("<svg>ann</svg>", app:get("/svg/ann/s").body)
  end)
end)


describe("a single picture", function()
  local app

  before_each(function()
    app = App.new()
    app:post("/api/session", { session_id = "a", template = "<svg>{{ x }}</svg>", args = { x = 1 } })
  end)

  it("is the newest, with the headers of a stranger's picture", function()
    local res = app:get "/svg/a"
    assert.equal(200, res.status)
    assert.equal("image/svg+xml", res.type)
    assert.equal("<svg>1</svg>", res.body)
    assert.equal(POLICY, res.headers["Content-Security-Policy"])
    assert.equal("nosniff", res.headers["X-Content-Type-Options"])
    assert.equal("no-store", res.headers["Cache-Control"])
  end)

  it("is 304 for who has it already, until it changes", function()
    local tag = app:get("/svg/a").headers.ETag
    local res = app:get("/svg/a", { ["If-None-Match"] = "W/" .. tag })
    assert.equal(304, res.status)
    assert.is_nil(res.body)
    assert.equal(tag, res.headers.ETag)
    app:put("/api/session/a", { args = { x = 2 } })
    res = app:get("/svg/a", { ["If-None-Match"] = tag })
    assert.equal(200, res.status)
    assert.equal("<svg>2</svg>", res.body)
  end)
end)


describe("a refresh after a lost link", function()
  local app

  before_each(function()
    app = App.new()
    app:post("/api/session", { session_id = "a", template = "<svg>{{ x }}</svg>", args = { x = 1 } })
    app:get "/stream/a"
  end)

  it("brings the picture that was missed", function()
    local live = app.hub.live["session:a"]
    app:put("/api/session/a", { args = { x = 2 } })
    app.hub.live["session:a"] = live
    app.boot.refresh "session:a"
    assert.equal("<svg>2</svg>", app.hub.live["session:a"].data)
  end)

  it("ends the stream of a session that is gone", function()
    app.store.rows["session:a"] = nil
    app.boot.refresh "session:a"
    assert.is_nil(app.hub.live["session:a"])
    assert.equal("here", app.hub.closed["session:a"])
  end)

  it("leaves the stream alone when the store fails again", function()
    app.store.before = function() return "away", "unavailable" end
    app.boot.refresh "session:a"
    assert.equal("<svg>1</svg>", app.hub.live["session:a"].data)
    assert.equal("warn", app.world.logged[#app.world.logged].level)
  end)

  it("leaves topics alone that are not in the store", function()
    app.boot.refresh "chat"
    assert.is_nil(app.hub.closed.chat)
  end)
end)


describe("a reload of scripts", function()
  local function app_with(rerender)
    local app = App.new { config = { rerender = rerender } }
    for _, id in ipairs { "a", "b", "bad" } do
      app:post("/api/session", { session_id = id, template = "<svg>{{ x }}</svg>", args = { x = 1 } })
      app:get("/stream/" .. id)
    end
    app.hub.publish_local("chat", "hi", { version = 1 })
    app.world.suffix = "!"
    app.store.rows["session:bad"].value = "damaged"
    return app
  end

  it("renders what is watched anew, where the setting rerender says so", function()
    local app = app_with(true)
    app.boot.reloaded()
    assert.equal("<svg>1</svg>!", app.hub.live["session:a"].data)
    assert.equal("<svg>1</svg>!", app:get("/svg/b").body)
    assert.equal("hi", app.hub.live.chat.data)
    assert.equal("warn", app.world.logged[#app.world.logged].level)
    local published = #app.hub.published
    app.boot.reloaded()
    assert.equal(published, #app.hub.published)
  end)

  it("leaves pictures alone otherwise", function()
    local app = app_with(false)
    app.boot.reloaded()
    assert.equal("<svg>1</svg>", app.hub.live["session:a"].data)
  end)
end)


describe("the start page", function()
  it("shows the demo where there is one", function()
    assert.is_nil(App.new():get("/").body:find("/stream/demo", 1, true))
    local res = App.new({ config = { demo = true } }):get("/", { Host = "example.org" })
    assert.truthy(res.body:find('src="/stream/demo"', 1, true))
    assert.truthy(res.body:find("curl -X POST http://example.org/api/session", 1, true))
    assert.equal("text/html; charset=utf-8", res.type)
  end)

  it("lets no markup in by the Host header", function()
    local res = App.new():get("/", { Host = '"><script>' })
    assert.is_nil(res.body:find("<script>", 1, true))
  end)
end)


describe("health", function()
  it("is 200 and says when the store is away; ready is 503 then", function()
    local app = App.new()
    assert.same({ status = "ok", store = "ok" }, app:get("/health").json)
    assert.equal(200, app:get("/ready").status)
    app.store.before = function() return "Redis is away", "unavailable" end
    local health, ready = app:get "/health", app:get "/ready"
    assert.equal(200, health.status)
    assert.equal("degraded", health.json.status)
    assert.equal(503, ready.status)
    assert.equal("1", ready.headers["Retry-After"])
    assert.equal("unavailable", ready.json.code)
  end)

  it("has metrics as text", function()
    local res = App.new():get "/metrics"
    assert.equal("text/plain; version=0.0.4; charset=utf-8", res.type)
    assert.equal("up 1\n", res.body)
  end)
end)
