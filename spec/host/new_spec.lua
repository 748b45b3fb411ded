-- New applications run, are free of warnings, and their specs pass.
local http = require "spec.support.http"
local json = require "host.json"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"
local ws = require "spec.support.ws"

local BINARY = uv.fs_realpath(server.BINARY)
local HAS_TEST = uv.fs_stat "lua/commands/test.lua" ~= nil

local function lunacast(...)
  return process.run(BINARY, { ... })
end

local function make(template)
  local folder = server.folder() .. "/app"
  local p = lunacast("new", folder, "--template", template)
  assert.equal(0, p.code, p.err)
  assert.matches("next: lunacast dev", p.err)
  return folder
end

local function check(folder)
  local p = lunacast("check", folder, "--strict")
  assert.equal("", p.out)
  assert.equal(0, p.code, p.err)
  if HAS_TEST then
    p = process.run(BINARY, { "test", folder }, { seconds = 60 })
    assert.equal(0, p.code, p.out .. p.err)
  end
end

local function start(folder)
  return server.start { folder = folder, workers = 1 }
end


describe("lunacast new", function()
  it("makes an application with a live picture", function()
    local folder = make "pictures"
    check(folder)
    local app = start(folder)
    assert.matches('<img src="/counter"', app:get("/").body)
    local view = http.pictures(app, "/counter")
    assert.matches(">0</text>", view:next())
    assert.same({ n = 1 }, app:post("/count"):json())
    assert.matches(">1</text>", view:next())
    view:close()
    app:stop()
  end)

  it("makes an application with messages", function()
    local folder = make "pubsub"
    check(folder)
    local app = start(folder)
    assert.matches("<h1>app</h1>", app:get("/").body)
    assert.matches("new WebSocket", app:get("/public/chat.js").body)
    local ada, bob = ws.open(app, "/room/a?name=ada"), ws.open(app, "/room/a?name=bob")
    ada:text "hello"
    assert.same({ name = "ada", text = "hello" }, json.decode(bob:read_text()))
    assert.same({ name = "ada", text = "hello" }, json.decode(ada:read_text()))
    assert.equal(204, app:post("/room/a", { json = { text = "by http" } }).status)
    assert.equal("by http", json.decode(bob:read_text()).text)
    assert.equal(400, app:post("/room/a", { json = { text = " " } }).status)
    ada:text(("x"):rep(501))
    assert.equal("by http", json.decode(ada:read_text()).text)
    assert.matches("at most 500", json.decode(ada:read_text()).error)
    ada:close()
    bob:close()
    app:stop()
  end)

  it("makes an application in front of others", function()
    local folder = make "gateway"
    check(folder)
    local app = server.start { folder = folder, workers = 1, env = { API_URL = "http://127.0.0.1:1" } }
    local res = app:get "/"
    assert.equal("app", res:json().name)
    assert.matches("^app;dur=", res.headers["server-timing"])
    assert.equal(502, app:get("/api/items").status)
    app:stop()
  end)

  it("writes the types of every module, and where an editor finds them", function()
    local folder = make "pictures"
    local f = assert(io.open(folder .. "/.luarc.json"))
    assert.same({ ".lunacast/types" }, json.decode(f:read "a")["workspace.library"])
    f:close()
    for _, name in ipairs { "meta/hub.lua", "meta/web.lua", "web/init.lua", "web/response.lua" } do
      assert.is_truthy(uv.fs_stat(folder .. "/.lunacast/types/" .. name), name)
    end
    os.remove(folder .. "/.lunacast/types/meta/hub.lua")
    assert.equal(0, lunacast("types", "--app", folder).code)
    assert.is_truthy(uv.fs_stat(folder .. "/.lunacast/types/meta/hub.lua"))
  end)

  it("adds routes, filters, middleware, commands and plugins, each with its spec", function()
    local folder = make "pictures"
    for _, kind in ipairs { "route", "filter", "middleware", "command", "plugin" } do
      for _, name in ipairs { "my_" .. kind, "other" } do
        local p = lunacast("new", kind, name, "--app", folder)
        assert.equal(0, p.code, p.err)
        assert.matches("spec/" .. name .. "[%l_]*_spec%.lua\n", p.out)
      end
    end
    local f = assert(io.open(folder .. "/config.lua", "w"))
    f:write "return { plugins = { { 'my_plugin', greeting = 'hi' } }, app = { title = 'x' } }"
    f:close()
    check(folder)
    assert.equal("HELLO ADA\n", lunacast("my_command", "ada", "--loud", "--app", folder).out)
    local app = start(folder)
    assert.equal("7", app:get("/my_route/7"):json().id)
    assert.equal("hi", app:get("/my_plugin").body)
    app:stop()
  end)

  it("writes nothing over, and says what is possible", function()
    local folder = make "pictures"
    local p = lunacast("new", folder)
    assert.equal(1, p.code)
    assert.matches("is there already; nothing was written", p.err)
    p = lunacast("new", folder .. "/config.lua/x")
    assert.equal(1, p.code)
    assert.matches("^lunacast: the folder .* can't be made: Not a directory\n$", p.err)
    local cases = {
      { { "new", "/tmp/x", "--template", "pubsup" }, 'did you mean "pubsub"' },
      { { "new", "rout", "x" }, 'did you mean "route"' },
      { { "new", "route" }, "a route needs a name" },
      { { "new", "route", "../x" }, "a name is letters" },
    }
    for _, case in ipairs(cases) do
      p = process.run(BINARY, case[1])
      assert.equal(2, p.code, p.err)
      assert.matches(case[2], p.err)
    end
  end)
end)
