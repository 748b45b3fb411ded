-- lunacast test and host.test: what the specs of an application can do.
local process = require "spec.support.process"
local server = require "spec.support.server"

local ROUTES = [[
local hub = require "host.hub"
local store = require "host.store"
local time = require "host.time"
local web = require "web"
return {
  { path = "/hi", GET = function() return web.text "hi" end },
  { path = "/sleep/{n}", GET = function(req)
    time.sleep(tonumber(req.params.n))
    return web.text "slept"
  end },
  { path = "/keep", POST = function() store.set("k", "v", { ttl = 3600 }) return web.empty() end,
    GET = function() return web.text(store.get "k" or "gone") end },
  { path = "/now", GET = function() return web.text(tostring(time.now())) end },
  { path = "/say/{word}", POST = function(req)
    assert(hub.publish("words", req.params.word, { mode = "log" }))
    return web.empty()
  end },
  { path = "/words", WS = { open = function(ws) ws:subscribe("words", { mode = "log" }) end } },
}
]]


-- Runs a spec by the command, in an application of its own.
local function run(text, ...)
  local folder = server.folder()
  server.write(folder, { ["lua/routes/kit.lua"] = ROUTES, ["spec/a_spec.lua"] = text })
  process.forget_folder(folder)
  local binary = require("host.process").folder() .. "/" .. server.BINARY
  local p = process.spawn(binary, { "test", folder, "--output=TAP", ... })
  p:wait(60)
  return p
end


local function passes(text, ...)
  local p = run('local test = require "host.test"\n' .. text, ...)
  assert.equal(0, p.code, p.out .. p.err)
  return p.out
end


describe("lunacast test", function()
  it("runs the specs of an application, and its exit code says how that went", function()
    local p = run [[
      it("is good", function() assert.equal("hi", require("host.test").app():get("/hi").body) end)
      it("is bad", function() assert.equal("ho", require("host.test").app():get("/hi").body) end)]]
    assert.equal(1, p.code)
    assert.matches("ok 1 %- is good", p.out)
    assert.matches("not ok 2 %- is bad", p.out)
    assert.matches("seed %d+; %-%-seed %d+ repeats it", p.err)
  end)

  it("gives busted its options", function()
    local out = passes([[
      it("one", function() end)
      it("two", function() error "not asked for" end)]], "--filter=one")
    assert.matches("1..1", out)
  end)

  it("repeats what chance did, by a seed", function()
    local text = 'it("r" .. math.random(10^9), function() end)'
    assert.equal(passes(text, "--seed", "7"), passes(text, "--seed=7"))
    assert.are_not.equal(passes(text, "--seed", "7"), passes(text, "--seed", "8"))
  end)

  it("says what is missing where there are no specs", function()
    local folder = server.folder()
    local binary = require("host.process").folder() .. "/" .. server.BINARY
    local p = process.run(binary, { "test", folder .. "/spec" }, { cwd = folder })
    assert.are_not.equal(0, p.code)
    p = process.run(binary, { "test" }, { cwd = folder })
    assert.equal(1, p.code)
    assert.matches("/spec is not there", p.err)
  end)

  it("runs the same specs against a server that is there", function()
    local app = server.start { files = { ["lua/routes/kit.lua"] = ROUTES } }
    passes([[
      it("is answered by that one", function()
        local app = test.app()
        assert.equal("hi", app:get("/hi").body)
        assert.has_error(function() app:crash() end)
        assert.has_error(function() app.clock:advance(1) end)
      end)]], "--url", app.url)
    assert.is_true(app:metric 'lunacast_requests_total{method="GET",route="/hi",status="200"}' ~= nil
      or app:get("/metrics").body:find("/hi", 1, true) ~= nil)
    app:stop()
  end)
end)


describe("an app of host.test", function()
  it("shows pictures, events and WebSockets, without a port", function()
    passes [[
      it("x", function()
        local app = test.app()
        local res = app:post("/api/session", { json = { session_id = "a", template = "<svg>{{ v }}</svg>",
          args = { v = 1 } } })
        assert.status(201, res)
        local view = app:stream "/stream/a"
        assert.svg(view:next())
        local events = app:sse "/stream/a"
        assert.equal("<svg>1</svg>", events:next().data)
        app:put("/api/session/a", { json = { args = { v = 2 } } })
        assert.equal("<svg>2</svg>", view:next())
        assert.equal("<svg>2</svg>", events:next().data)
        local ws = app:ws "/words"
        app:post "/say/hello"
        assert.equal("hello", ws:next())
        assert.is_nil(app.port)
        assert.not_svg "<svg>"
        assert.not_status(200, res)
        assert.recovered { recovered = true }
      end)]]
  end)

  it("has a clock that a spec moves", function()
    passes [[
      it("x", function()
        local app = test.app()
        app:post "/keep"
        local before = tonumber(app:get("/now").body)
        app.clock:advance(30)
        local passed = tonumber(app:get("/now").body) - before
        assert.is_true(passed >= 30 and passed < 60, passed)
        assert.equal("v", app:get("/keep").body)
        app.clock:advance(7200)
        assert.equal("gone", app:get("/keep").body)
      end)

      it("wakes who sleeps", function()
        local app = test.app()
        local c = test.connect(app)
        c:send "GET /sleep/600 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        app:get "/hi"
        app.clock:advance(601)
        assert.matches("slept$", c:read_all())
      end)

      it("repeats a picture that has been silent", function()
        local app = test.app()
        app:post("/api/session", { json = { session_id = "a", template = "<svg/>" } })
        local view = app:stream "/stream/a"
        assert.svg(view:next())
        app.clock:advance(31)
        assert.svg(view:next())
      end)]]
  end)

  it("ends with its `it`, which fails when the server did not end well", function()
    local p = run [[
      local test = require "host.test"
      local app
      it("starts one", function() app = test.app() app:get "/hi" end)
      it("finds it ended", function() assert.is_false(app.process:running()) end)
      it("fails", function() test.app().process:kill "sigabrt" end)]]
    assert.matches("ok 1", p.out)
    assert.matches("ok 2", p.out)
  end)

  it("lets a spec be a slow reader, and keeps what went over the wire", function()
    passes [[
      it("x", function()
        local app = test.app()
        local c = test.connect(app):record()
        c:send "GET /hi HTTP/1.1\r\nHost: x\r\n\r\n"
        c:read_until "hi"
        assert.equal(">", c.transcript[1][1])
        assert.equal("GET /hi HTTP/1.1\r\nHost: x\r\n\r\n", c.transcript[1][2])
        assert.matches("^HTTP/1.1 200 OK\r\n", c.transcript[2][2])
        c:pause()
        c:send "GET /hi HTTP/1.1\r\nHost: x\r\n\r\n"
        test.wait.pause(0.1)
        assert.equal("", c:peek())
        c:resume()
        c:read_until "hi"
      end)]]
  end)

  it("can be several nodes, whose Redis is slow, silent, cut or another one", function()
    passes [[
      it("x", function()
        local redis = test.redis()
        local way = redis:proxy()
        local one = test.app { redis = redis }
        local two = test.app { redis = way }
        local ws = two:ws "/words"
        local function heard(word)
          test.wait.till(function()
            one:post("/say/" .. word)
            local came, what = pcall(ws.next, ws, 1)
            return came and what == word
          end, word, 30)
        end
        heard "first"
        way:delay(0.05)
        heard "slow"
        way:mend()
        way:cut()
        heard "after"
        way:drop()
        assert.are_not.equal(200, two:get("/ready", { seconds = 20 }).status)
        way:mend()
        way:cut()
        test.wait.till(function() return two:get("/ready").status == 200 end)
        heard "again"
        way:close()
      end)]]
  end)
end)


describe("docs/testing.md", function()
  it("shows a spec that passes", function()
    local text = assert(io.open "docs/testing.md"):read "a"
    passes(text:match "```lua\n(.-)```")
  end)
end)
