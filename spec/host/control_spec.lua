-- The control socket: how the command line reaches a running server.
local http = require "spec.support.http"
local redis = require "spec.support.redis"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"

local function socket_of(app)
  return app.data .. "/control.sock"
end

local function ask(app, method, path, options)
  return http.request({ path = socket_of(app) }, method, path, options)
end

-- A request that is under way until there is the file "go".
local HELD = [[
  local file = require "host.file"
  local log = require "host.log"
  local time = require "host.time"
  return { path = "/held", GET = function()
    log.info "it is held"
    repeat time.sleep(0.01) until file.stat "go"
    return { body = "old" }
  end }
]]

local function hold(app)
  local c = app:connect()
  c:send(http.format("GET", "/held"))
  app:logged "it is held"
  return c
end

local function says(word)
  return { ["lua/routes/word.lua"] = ('return { path = "/word", GET = function() return { body = "%s" } end }')
    :format(word) }
end


describe("the control socket", function()
  it("is its owner's alone, and goes with the server", function()
    local app = server.start {}
    local stat = uv.fs_stat(socket_of(app))
    assert.equal("socket", stat.type)
    assert.equal(384, stat.mode & 511) -- 0600
    app:stop()
    assert.is_nil(uv.fs_stat(socket_of(app)))
  end)

  it("that a crashed server left is replaced", function()
    local app = server.start {}
    app:crash()
    assert.is_truthy(uv.fs_stat(socket_of(app)))
    app = app:restart()
    assert.equal(200, ask(app, "GET", "/status").status)
    app:stop()
  end)

  it("answers what no address of the server answers, and nothing else", function()
    local app = server.start { files = {
      ["lua/control/mine.lua"] = "return { path = '/mine', GET = function() return { body = 'x' } end }",
    } }
    assert.equal("x", ask(app, "GET", "/mine").body)
    assert.equal(404, app:get("/mine").status)
    assert.equal(404, app:get("/status").status)
    assert.equal(404, app:post("/reload").status)
    assert.equal(404, ask(app, "GET", "/health").status)
    app:stop()
  end)

  it("whose path is too long is left out, with a warning", function()
    local app = server.start { data = server.folder() .. "/" .. ("d"):rep(120) }
    app:logged "no control socket"
    assert.equal(200, app:get("/health").status)
    app:stop()
  end)

  it("is there with Redis too", function()
    local store = redis.start()
    local app = server.start { set = { ["redis.url"] = store.url } }
    local status = ask(app, "GET", "/status"):json()
    assert.equal("redis", status.store.driver)
    assert.is_true(status.store.ok)
    assert.is_true(status.redis.links > 0)
    app:stop()
    store:down()
  end)
end)


describe("a reload by the control socket", function()
  it("answers when all workers serve the new scripts #workers", function()
    local app = server.start { files = says "0", set = { watch = false }, workers = 3 }
    for n = 1, 5 do
      server.write(app.folder, says(tostring(n)))
      local res = ask(app, "POST", "/reload")
      assert.equal(200, res.status)
      assert.equal(n + 1, res:json().generation)
      for _ = 1, 6 do assert.equal(tostring(n), app:get("/word").body) end
    end
    app:stop()
  end)

  it("says file, line and source of what is wrong, and since when the old scripts serve", function()
    local app = server.start { files = says "one", set = { watch = false } }
    server.write(app.folder, { ["lua/routes/word.lua"] = "return {\n  path = '/word',\n  GET == = 1\n}" })
    local res = ask(app, "POST", "/reload")
    assert.equal(422, res.status)
    local wrong = res:json()
    assert.equal("lua/routes/word.lua", wrong.file)
    assert.equal(3, wrong.line)
    assert.matches("unexpected symbol near '='", wrong.error)
    assert.matches("> +3    GET == = 1", wrong.excerpt)
    assert.equal(1, wrong.generation)
    local status = ask(app, "GET", "/status"):json()
    assert.equal(3, status.scripts.error.line)
    assert.is_true(status.scripts.failed_since >= status.scripts.since)
    assert.equal("one", app:get("/word").body)
    server.write(app.folder, says "fixed")
    assert.equal(200, ask(app, "POST", "/reload").status)
    assert.is_nil(ask(app, "GET", "/status"):json().scripts.error)
    app:stop()
  end)

  it("is one of several at once: each gets its answer", function()
    local app = server.start { files = says "one", set = { watch = false } }
    local asked = {}
    for i = 1, 8 do
      asked[i] = http.connect { path = socket_of(app) }
      asked[i]:send(http.format("POST", "/reload"))
    end
    for i = 1, 8 do
      local res = http.read_response(asked[i])
      assert.equal(200, res.status)
      assert.is_true(res:json().generation >= 2)
      asked[i]:close()
    end
    app:stop()
  end)

  it("shows what still runs on old scripts", function()
    local files = says "one"
    files["lua/routes/held.lua"] = HELD
    local app = server.start { files = files, set = { watch = false }, workers = 1 }
    local c = hold(app)
    assert.equal(200, ask(app, "POST", "/reload").status)
    local draining = ask(app, "GET", "/status"):json().draining
    assert.is_true(draining.vms >= 1)
    wait.till(function()
      draining = ask(app, "GET", "/status"):json().draining
      return draining.requests == 1
    end, "one request on the old scripts")
    c:close()
    wait.till(function() return ask(app, "GET", "/status"):json().draining.vms == 0 end)
    app:stop()
  end)

  it("is refused while the server stops", function()
    local files = says "one"
    files["lua/routes/held.lua"] = HELD
    local app = server.start { files = files, workers = 1 }
    local c, control = hold(app), http.connect { path = socket_of(app) }
    control:send("POST /reload HTTP/1.1\r\nHost: x\r\n") -- busy: it may finish
    assert.equal(200, ask(app, "GET", "/status").status) -- what came before that has been read
    app.process:kill "sigterm"
    app:logged "stopping"
    control:send("\r\n")
    local res = http.read_response(control)
    assert.equal(503, res.status)
    assert.equal("stopping", res:json().code)
    server.write(app.folder, { go = "" })
    assert.equal("old", http.read_response(c).body)
    c:close()
    control:close()
    assert.equal(0, (app.process:wait(40)))
  end)

  it("refuses wrong settings with line and key, and keeps the old ones", function()
    local files = says "one"
    files["config.lua"] = "return { max_fps = 30 }"
    local app = server.start { files = files, set = { watch = false } }
    server.write(app.folder, { ["config.lua"] = "return {\n  max_fbs = 10,\n}" })
    local wrong = ask(app, "POST", "/reload"):json()
    assert.same({ "config.lua", 2 }, { wrong.file, wrong.line })
    assert.matches('no setting is named "max_fbs"; did you mean "max_fps"', wrong.error)
    assert.matches("> +2    max_fbs = 10", wrong.excerpt)
    assert.equal("one", app:get("/word").body)
    server.write(app.folder, { ["config.lua"] = "return { max_fps = 10 }" })
    assert.equal(200, ask(app, "POST", "/reload").status)
    app:stop()
  end)

  it("names the file of a mistake that has no line", function()
    local app = server.start { files = says "one", set = { watch = false } }
    server.write(app.folder, { ["lua/routes/word.lua"] = "return { path = '/word' }" })
    local wrong = ask(app, "POST", "/reload"):json()
    assert.equal("lua/routes/word.lua", wrong.file)
    assert.is_nil(wrong.line)
    assert.equal("the route /word answers no method", wrong.error)
    app:stop()
  end)
end)


describe("the control socket's lists", function()
  it("show sessions with their viewers, and topics", function()
    local app = server.start { workers = 1 }
    for _, id in ipairs { "a", "b" } do
      app:post("/api/session", { json = { session_id = id, template = "<svg>{{ n }}</svg>", args = { n = 1 } } })
    end
    local view = http.pictures(app, "/stream/b")
    view:next()
    local sessions = ask(app, "GET", "/sessions"):json().items
    assert.equal(2, #sessions)
    assert.equal("b", sessions[1].session_id)
    assert.equal(1, sessions[1].viewers)
    assert.equal(0, sessions[2].viewers)
    local topics = ask(app, "GET", "/topics?prefix=session:"):json().items
    assert.equal("session:b", topics[1].topic)
    assert.equal(1, topics[1].subscribers)
    view:close()
    app:stop()
  end)
end)
