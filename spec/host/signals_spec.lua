-- The ordered end.
local http = require "spec.support.http"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local SLOW = [[
local log = require "host.log"
local time = require "host.time"
return {
  { path = "/slow/{seconds}", GET = function(req)
    log.info "it is slow"
    time.sleep(tonumber(req.params.seconds))
    return { status = 200, type = "text/plain", body = "done" }
  end },
}
]]


-- A request that is under way.
local function slow(app, seconds)
  local c = app:connect()
  c:send(http.format("GET", "/slow/" .. seconds))
  app:logged "it is slow"
  return c
end


describe("SIGTERM", function()
  it("ends an idle server with exit code 0", function()
    local app = server.start {}
    app:stop()
  end)

  it("closes idle connections, finishes the running request, and accepts no new one #workers", function()
    local app = server.start { files = { ["lua/routes/slow.lua"] = SLOW } }
    local idle = app:connect()
    assert.equal(200, http.ask(idle, "GET", "/health").status)
    local busy = slow(app, 1)
    app.process:kill "sigterm"
    assert.is_true(idle:ends_within())
    local res = http.read_response(busy)
    assert.equal(200, res.status)
    assert.equal("done", res.body)
    assert.equal("close", res.headers.connection)
    assert.equal(0, (app.process:wait()))
  end)

  it("ends streams of pictures", function()
    local app = server.start {}
    app:post("/api/session", { json = { session_id = "a", template = "<svg/>" } })
    local stream = http.pictures(app, "/stream/a")
    stream:next()
    app.process:kill "sigterm"
    assert.is_true(stream.wire:ends_within())
    assert.equal(0, (app.process:wait()))
  end)

  it("waits no longer than drain", function()
    local app = server.start { files = { ["lua/routes/slow.lua"] = SLOW }, set = { drain = "300ms" } }
    local busy = slow(app, 600)
    app:stop()
    assert.is_true(busy:ends_within())
  end)

  it("twice ends at once", function()
    local app = server.start { files = { ["lua/routes/slow.lua"] = SLOW } }
    local busy = slow(app, 600)
    app.process:kill "sigterm"
    app:logged "stopping"
    wait.pause(0.3)
    assert.is_true(app.process:running())
    app.process:kill "sigterm"
    app.process:wait(20) -- the drain is 30
    busy:close()
  end)
end)


describe("SIGINT", function()
  it("is as good as SIGTERM", function()
    local app = server.start {}
    app.process:kill "sigint"
    assert.equal(0, (app.process:wait()))
  end)
end)


describe("SIGHUP and SIGPIPE", function()
  it("do not end the server", function()
    local app = server.start {}
    app.process:kill "sighup"
    app.process:kill "sigpipe"
    wait.pause(0.2)
    assert.equal(200, app:get("/health").status)
    app:stop()
  end)
end)


describe("a freeze", function()
  it("of a second cuts nobody off when it is over", function()
    local app = server.start { set = { ["limits.idle"] = "60s" } }
    local c = app:connect()
    assert.equal(200, http.ask(c, "GET", "/health").status)
    app:freeze()
    wait.pause(1)
    app:thaw()
    assert.equal(200, http.ask(c, "GET", "/health").status)
    app:stop()
  end)
end)


describe("kill -9", function()
  it("again and again leaves a folder that the next start takes over", function()
    local app = server.start {}
    for i = 1, 10 do
      local id = "s" .. i
      assert.equal(201, app:post("/api/session", { json = { session_id = id, template = "<svg/>" } }).status)
      app:crash()
      app = app:restart()
      for k = 1, i do assert.equal(200, app:get("/svg/s" .. k).status) end
    end
    app:stop()
  end)
end)
