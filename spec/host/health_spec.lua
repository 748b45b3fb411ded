-- What operators look at: /health, /ready, /metrics and the log.
local http = require "spec.support.http"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local app

describe("an operator", function()
  setup(function()
    app = server.start { files = {
      ["lua/routes/greet.lua"] = [[
        return {
          { path = "/greet/{name}", GET = function(req)
            return { status = 200, type = "text/plain", body = "hi " .. req.params.name }
          end },
          { path = "/raise", GET = function() error "something private" end },
          { path = "/busy", GET = function()
            local time = require "host.time"
            local began = time.monotonic()
            while time.monotonic() - began < 0.06 do end
            return { status = 200 }
          end },
        }
      ]],
    } }
  end)

  teardown(function()
    app:stop()
  end)

  it("sees that the server lives and is ready", function()
    assert.equal("ok", app:json("/health").status)
    assert.equal("ready", app:json("/ready").status)
  end)

  it("gets Prometheus text with requests by route, method and status", function()
    for _ = 1, 5 do app:get "/greet/anna" end
    app:get "/greet/bob"
    app:get "/nowhere"
    local res = app:get "/metrics"
    assert.matches("^text/plain; version=0%.0%.4", res.headers["content-type"])
    assert.equal(6, app:metric 'lunacast_requests_total{route="/greet/{name}",method="GET",status="200"}')
    assert.equal(6, app:metric 'lunacast_request_seconds_count{route="/greet/{name}"}')
    assert.is_nil(res.body:find("anna", 1, true))
  end)

  it("sees connections come and go", function()
    local function open() return app:metric "lunacast_connections" end
    wait.till(function() return open() == 1 end, "the others' end") -- the one that asks
    local held = {}
    for i = 1, 10 do
      held[i] = app:connect()
      http.ask(held[i], "GET", "/health")
    end
    wait.till(function() return open() == 11 end, "ten more")
    for _, c in ipairs(held) do c:close() end
    wait.till(function() return open() == 1 end, "closed connections")
    assert.is_true(app:metric "lunacast_connections_total" >= 10)
    assert.is_true(app:metric "lunacast_bytes_sent_total" > 1000)
  end)

  it("sees viewers and pictures", function()
    app:post("/api/session", { json = { session_id = "m", template = "<svg>{{ n }}</svg>", args = { n = 1 } } })
    local stream = http.pictures(app, "/stream/m")
    stream:next()
    assert.equal(1, app:metric "lunacast_viewers")
    app:put("/api/session/m", { json = { args = { n = 2 } } })
    stream:next()
    assert.is_true(app:metric "lunacast_pictures_rendered_total" >= 2)
    assert.is_true(app:metric "lunacast_pictures_sent_total" >= 2)
    stream:close()
    wait.till(function() return app:metric "lunacast_viewers" == 0 end, "no viewers")
  end)

  it("sees each worker's memory, tasks and lag", function()
    for _, name in ipairs { "lunacast_lua_memory_bytes", "lunacast_tasks", "lunacast_loop_lag_seconds" } do
      for worker = 0, 1 do
        wait.till(function() return app:metric(('%s{worker="%d"}'):format(name, worker)) end, name)
      end
    end
    wait.till(function() return app:metric 'lunacast_lua_memory_bytes{worker="0"}' > 10000 end, "memory")
  end)

  it("sees how long a handler held its worker", function()
    wait.till(function()
      app:get "/busy"
      return app:metric 'lunacast_loop_lag_seconds{worker="0"}' >= 0.06
        or app:metric 'lunacast_loop_lag_seconds{worker="1"}' >= 0.06
    end, "a lag of 60 ms")
  end)

  it("hears of no turn that was longer than the server is old", function()
    local began = wait.now()
    local fresh = server.start { workers = 1 }
    local slow = {}
    for _, line in ipairs(fresh:log()) do
      if line.msg == "a turn of the loop was slow" then slow[#slow + 1] = line.ms end
    end
    slow[#slow + 1] = fresh:metric 'lunacast_loop_lag_seconds{worker="0"}' * 1000
    assert.is_true(math.max(table.unpack(slow)) < (wait.now() - began) * 1000)
    fresh:stop()
  end)

  it("finds a request in the log by the id that its answer carries", function()
    local res = app:get("/greet/anna?token=hush")
    local line = wait.till(function()
      for _, l in ipairs(app:log()) do
        if l.request_id == res.headers["x-request-id"] then return l end
      end
    end, "the request's line")
    assert.equal("/greet/{name}", line.route)
    assert.equal(200, line.status)
    assert.equal("number", type(line.us))
    assert.equal("number", type(line.bytes))
    assert.equal("number", type(line.worker))
    assert.is_nil(app.process.err:find("hush", 1, true))
  end)

  it("finds what a handler raised in the log, and the client does not", function()
    local res = app:get("/raise", { headers = { ["X-Request-ID"] = "my-own-id" } })
    assert.equal(500, res.status)
    assert.equal("my-own-id", res.headers["x-request-id"])
    assert.is_nil(res.body:find("private", 1, true))
    app:logged "something private"
    assert.is_true(app:metric "lunacast_script_errors_total" >= 1)
  end)
end)
