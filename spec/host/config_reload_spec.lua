-- config.lua is read again at a reload, together with the scripts.
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local SHOW = [[
local config = require "host.config"
local web = require "web"
return { path = "/show", GET = function()
  return web.json {
    fps = config.get "max_fps", workers = config.get "workers", title = config.app.title,
    topics = config.section "topics",
  }
end }]]

local function shows(app, name, value)
  wait.till(function() return app:json "/show"[name] == value end,
    ("%s = %s"):format(name, tostring(value)))
end

local function reload(app)
  local before = app:metric "lunacast_reloads_total" or 0
  app.process:kill "sighup"
  wait.till(function() return (app:metric "lunacast_reloads_total" or 0) > before end, "a reload")
end


describe("config.lua at a reload", function()
  local function start(text, options)
    options = options or {}
    options.files = { ["config.lua"] = text, ["lua/routes/show.lua"] = SHOW }
    return server.start(options)
  end

  it("brings new settings and sections to the scripts when it is saved #workers", function()
    local app = start("return { max_fps = 20, app = { title = 'one' } }")
    assert.same({ fps = 20, workers = 2, title = "one" }, app:json "/show")
    server.write(app.folder, {
      ["config.lua"] = "return { max_fps = 25, app = { title = 'two' }, topics = { a = { mode = 'log' } } }",
    })
    wait.till(function() return app:metric "lunacast_reloads_total" == 1 end, "all workers")
    assert.same({ fps = 25, workers = 2, title = "two", topics = { a = { mode = "log" } } }, app:json "/show")
    app:stop()
  end)

  it("keeps what the command line and the environment say", function()
    local app = start("return { max_fps = 20, keepalive = '9s' }", {
      set = { max_fps = 30, watch = false }, env = { LUNACAST_APP_TITLE = "from outside" },
    })
    server.write(app.folder, { ["config.lua"] = "return { max_fps = 25, app = { title = 'x' } }" })
    reload(app)
    assert.same({ fps = 30, workers = 2, title = "from outside" }, app:json "/show")
    app:stop()
  end)

  it("says which changed setting needs a restart, and keeps its value for the scripts", function()
    local app = start("return { workers = 1, ['lua.memory'] = '32M' }", { set = { watch = false } })
    server.write(app.folder, { ["config.lua"] = "return {\n  lua = { memory = '33M' }, max_fps = 7 }" })
    reload(app)
    local line = app:logged "needs a restart"
    assert.equal("lua.memory", line.setting)
    assert.equal("config.lua:2", line.source)
    assert.equal(7, app:json "/show".fps)
    app:stop()
  end)

  it("that is wrong changes nothing; fixed, it goes live by itself", function()
    local app = start "return { app = { title = 'old' } }"
    for text, message in pairs {
      ["return {\n  max_fbs = 1 }"] = 'config.lua:2: no setting is named \\"max_fbs\\"',
      ["return {\n\n  app = { title = 'new' },"] = "config.lua:3:",
      ["return { app = { title = 'new' }, max_fps = 'fast' }"] = "config.lua:1: max_fps",
    } do
      server.write(app.folder, { ["config.lua"] = text })
      app:logged(message)
      assert.equal("old", app:json "/show".title)
    end
    server.write(app.folder, { ["config.lua"] = "return { app = { title = 'new' } }" })
    shows(app, "title", "new")
    app:stop()
  end)

  it("is not taken over when the scripts beside it are wrong", function()
    local app = start("return { app = { title = 'old' } }", { set = { watch = false } })
    server.write(app.folder, {
      ["config.lua"] = "return { app = { title = 'new' } }", ["lua/routes/bad.lua"] = "return {{",
    })
    app.process:kill "sighup"
    app:logged "the old ones serve on"
    assert.equal("old", app:json "/show".title)
    server.write(app.folder, { ["lua/routes/bad.lua"] = "return {}" })
    reload(app)
    assert.equal("new", app:json "/show".title)
    app:stop()
  end)

  it("switches the level of the log and the line per request", function()
    local app = start("return {}", { set = { watch = false } })
    app:get "/show?one"
    app:logged '"path":"/show"'
    server.write(app.folder, { ["config.lua"] = "return { log = { access = false } }" })
    reload(app)
    local _, before = app.process.err:gsub('"message":"request"', "")
    for _ = 1, 5 do app:get "/show" end
    server.write(app.folder, { ["config.lua"] = "return { log = { level = 'error' } }" })
    app.process:kill "sighup"
    server.write(app.folder, { ["config.lua"] = "return 5" })
    app.process:kill "sighup"
    app:logged "must return a table of settings"
    local _, after = app.process.err:gsub('"message":"request"', "")
    assert.is_true(after - before <= 1)
    app:stop()
  end)

  it("leaves WebSockets open", function()
    local app = start "return { app = { title = 'old' } }"
    local client = ws.connect(app, "/ws")
    server.write(app.folder, { ["config.lua"] = "return { app = { title = 'new' } }" })
    shows(app, "title", "new")
    client:text "nonsense"
    assert.is_string(client:read_text())
    client:close()
    app:stop()
  end)
end)
