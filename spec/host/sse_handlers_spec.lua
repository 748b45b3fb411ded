-- Handlers of events that go on without their clients: how many, how long, and what those who follow
-- them hear when it is the server that ends them.
local http = require "spec.support.http"
local redis = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local ROUTES = [[
local log = require "host.log"
local time = require "host.time"
local web = require "web"

local function told(name)
  return setmetatable({}, { __close = function() log.info(name .. " has ended") end })
end

return {
  { path = "/deaf", POST = function() return web.sse(function(send)
      local _ <close> = told "the deaf one"
      local heard = false
      while true do
        local ok, _, code = send "x"
        if not ok and not heard then heard = true log.info("the deaf one hears " .. code) end
        time.sleep(0.05)
      end
    end, { resume = true, grace = 0.5 }) end },
  { path = "/mute", POST = function() return web.sse(function(send)
      local _ <close> = told "the mute one"
      send "one"
      time.sleep(100)
    end, { resume = true, grace = 0.5 }) end },
  { path = "/long", POST = function(req) return web.sse(function(send)
      local _ <close> = told "the long one"
      send "begun"
      time.sleep(tonumber(req.query.seconds) or 60)
      send "done"
    end, { resume = true, grace = 60 }) end },
  { path = "/kept", POST = function() return web.sse(function(send)
      send "begun"
      time.sleep(60)
    end, { keep = true }) end },
  { path = "/wrong", POST = function() return web.sse(print, { keep = "for ever" }) end },
}
]]

local function start(set, workers)
  set = set or {}
  set.drain = set.drain or "1s"
  return server.start {
    files = { ["lua/routes/handlers.lua"] = ROUTES }, set = set, workers = workers or 1,
  }
end

local function open(app, method, path)
  local c = http.connect(app)
  c:send(http.format(method, path, { body = method == "POST" and "" or nil }))
  return c, assert(http.read_head(c))
end

-- Begins one; returns where the rest is.
local function begin_beside(app, path, first)
  local c, head = open(app, "POST", path)
  assert.equal(200, head.status)
  assert(c:read_until("data: " .. first))
  return head.headers["content-location"], c
end

-- Begins one and leaves it.
local function begin(app, path, first)
  local rest, c = begin_beside(app, path, first)
  c:close()
  return rest
end

local function ends_with(c, code)
  local text = c:read_all()
  assert.matches('event: end\ndata: {"code":"' .. code .. '"}\n', text)
  c:close()
  return text
end


describe("handlers that go on without their client", function()
  local app
  setup(function() app = start { ["sse.handlers"] = 2 } end)
  teardown(function() app:stop() end)

  it("hear that nobody is there, and are ended when they do not mind", function()
    begin(app, "/deaf", "x")
    app:logged "the deaf one hears gone"
    app:logged "the deaf one has ended"
    assert.equal(1, app:metric "sse_handlers_ended_total")
  end)

  it("are ended also where they wait for something else, and then their stream is over", function()
    local rest = begin(app, "/mute", "one")
    app:logged "the mute one has ended"
    local c = open(app, "GET", rest)
    local text = ends_with(c, "going_away")
    local last = text:match "id: (%S+)\nevent: end"
    assert.equal(204, app:get(rest, { headers = { ["Last-Event-ID"] = last } }).status)
  end)

  it("are left alone while somebody is there", function()
    local rest, first = begin_beside(app, "/mute", "one")
    local c = open(app, "GET", rest)
    c:read_until "data: one"
    first:close()
    wait.pause(2)
    assert.equal(2, app:metric "sse_handlers_ended_total")
    c:close()
    wait.till(function() return app:metric "sse_handlers_ended_total" == 3 end, "its end")
  end)

  it("are refused where `keep` says neither yes nor no", function()
    assert.equal(500, app:post("/wrong").status)
  end)

  it("are as many as the setting sse.handlers says, and then 503, and are ended with the server", function()
    begin(app, "/long", "begun")
    begin(app, "/kept", "begun")
    assert.equal(503, app:post("/long").status)
    assert.equal(503, app:post("/kept").status)
    app:stop()
    app:logged "the long one has ended"
    app = start { ["sse.handlers"] = 2 }
  end)

  it("of older scripts are ended after the drain time, and those who follow them hear it", function()
    local rest = begin(app, "/long", "begun")
    local c = open(app, "GET", rest)
    c:read_until "data: begun"
    server.write(app.folder, { ["lua/routes/handlers.lua"] = ROUTES .. "\n-- saved" })
    app:logged "the scripts were reloaded"
    ends_with(c, "going_away")
    ends_with(open(app, "GET", rest), "going_away")
  end)
end)


describe("handlers that others follow on another node #workers", function()
  local app, other, store
  setup(function()
    store = redis.start()
    other = start({ ["redis.url"] = store.url }, 2)
  end)
  before_each(function() app = start({ ["redis.url"] = store.url, drain = "4s" }, 2) end)
  teardown(function()
    other:stop()
    store:down()
  end)

  it("are 404 where nobody has begun them, and nothing is left behind of who asks", function()
    for _, id in ipairs { "nope", ("x"):rep(400), "*", "a.b", "%F0%9F%98%80" } do
      local res = app:get("/sse/" .. id, { headers = { ["Last-Event-ID"] = "1:1" } })
      assert.same({ 404, "not_found" }, { res.status, res:json().code }, id)
    end
    assert.equal("", store:command("KEYS", "*stream:*"))
    app:stop()
  end)

  it("may finish while their server stops", function()
    local rest = begin(app, "/long?seconds=1", "begun")
    local c = open(other, "GET", rest)
    c:read_until "data: begun"
    app:stop()
    c:read_until "data: done"
    ends_with(c, "ended")
  end)

  it("have an end that is told when the server does not wait for them", function()
    local rest = begin(app, "/long", "begun")
    local c = open(other, "GET", rest)
    c:read_until "data: begun"
    app:stop()
    ends_with(c, "going_away")
  end)

  it("have an end when their node dies, for those who are there and those who come", function()
    local followed, left = begin(app, "/long", "begun"), begin(app, "/long", "begun")
    local c = open(other, "GET", followed)
    c:read_until "data: begun"
    app:crash()
    local text = c:read_until 'data: {"code":"error"}'
    assert.matches("event: end\n", text)
    c:close()
    ends_with(open(other, "GET", left), "error")
  end)
end)
