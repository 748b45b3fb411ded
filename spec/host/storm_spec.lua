-- Everything at once on all workers: updates, viewers that come and go, logins, reloads, and the
-- ordered end in the middle of it. The debug build's audit and ThreadSanitizer are the judges.
local http = require "spec.support.http"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local WRITERS, VIEWERS = 6, 12 -- each writer has a session of its own
local TEMPLATE = "<svg>{{ v }}{{ v | odd }}</svg>"
local FILTERS = {
  'return function(v) return v % 2 == 1 and " odd" or "" end -- ',
  'return function(v) return v % 2 == 1 and " Odd" or "" end -- ',
}


local function start(set)
  set["password.ln"], set.rerender = 10, true
  local app = server.start { workers = 4, set = set,
    files = { ["lua/filters/odd.lua"] = FILTERS[1] } }
  for i = 1, WRITERS do
    local res = app:post("/api/session", { seconds = 60, json = {
      session_id = "s" .. i, template = TEMPLATE, args = { v = 0 } } })
    assert.equal(201, res.status, res.body)
  end
  return app
end


local function request_of(n, writer)
  if n % 17 == 0 then
    return http.format("POST", "/api/auth/token",
      { json = { user_id = "u" .. n % 3, password = "p" } })
  end
  if n % 11 == 0 then return http.format("GET", "/metrics") end
  return http.format("PUT", "/api/session/s" .. writer, { json = { args = { v = n } } })
end


-- Each writer sends the next request when it has the last answer; `n` counts them all.
local function write_on(writers, state)
  for i, c in ipairs(writers) do
    if not c.ended and c:peek():find "\r\n\r\n" then
      local res = http.read_response(c)
      if res then
        state.answers[res.status] = res.body -- the last one tells why
        c.idle = true
      end
    end
    if c.idle and not c.ended and not state.stop then
      state.n = state.n + 1
      c.idle = false
      c:post(request_of(state.n, i))
    end
  end
end


local function open_view(app, i)
  local c = app:connect()
  local headers = i % 2 == 0 and { Accept = "text/event-stream" } or nil
  c:post(http.format("GET", "/stream/s" .. i % WRITERS + 1, { headers = headers }))
  return c
end


-- The number in each picture never goes back within one stream.
local function check_order(view)
  local last = -1
  for number in view:peek():gmatch "<svg>(%d+)" do
    assert.is_true(tonumber(number) >= last, view:peek())
    last = tonumber(number)
  end
  return last
end


local function storm(app, seconds, during)
  local state = { n = 0, answers = {} }
  local writers, views, seen = {}, {}, 0
  for i = 1, WRITERS do
    writers[i] = app:connect()
    writers[i].idle = true
  end
  for i = 1, VIEWERS do views[i] = open_view(app, i) end
  local began, turns = wait.now(), 0
  repeat
    write_on(writers, state)
    wait.turn(function() return false end, 0.01)
    turns = turns + 1
    if turns % 5 == 0 then
      local i = math.random(VIEWERS)
      seen = math.max(seen, check_order(views[i]))
      views[i][turns % 2 == 0 and "close" or "reset"](views[i])
      views[i] = open_view(app, i)
    end
    if turns % 40 == 0 then
      server.write(app.folder, { ["lua/filters/odd.lua"] = FILTERS[turns // 40 % 2 + 1] .. turns })
      app.process:kill "sighup"
    end
    if during then during(turns) end
    local over = wait.now() - began
  until over > 60 or over > seconds and turns > 80 and state.n > 50 -- a reload has begun by then
  return state, writers, views, seen
end


-- What is under way is answered; nothing else follows.
local function settle(writers, state)
  state.stop = true
  wait.till(function()
    write_on(writers, state)
    for _, c in ipairs(writers) do
      if not c.idle and not c.ended then return false end
    end
    return true
  end, "the last answers", 60)
end


local function finish(app, writers, views)
  for _, c in ipairs(writers) do c:close() end
  for _, c in ipairs(views) do c:close() end
  app:stop()
end


describe("a storm on all workers #workers", function()
  it("keeps the order of pictures, answers everything, and ends in order in the middle", function()
    local app = start {}
    local state, writers, views, seen = storm(app, 5)
    assert.is_true(state.n > 50 and seen > 0)
    for status, body in pairs(state.answers) do assert.equal(200, status, body) end
    wait.till(function() return app:metric "lunacast_reloads_total" > 0 end, "new scripts", 60)
    for _ = 1, 3 do write_on(writers, state) end
    finish(app, writers, views)
  end)

  it("on Redis lives through Redis being frozen, killed and started again", function()
    local redis = redis_server.start { args = { "--appendonly", "yes", "--appendfsync", "always" } }
    local app = start { ["redis.url"] = redis.url }
    local state, writers, views = storm(app, 7, function(turns)
      if turns == 60 then redis:freeze() end
      if turns == 90 then redis:thaw() end
      if turns == 150 then redis:down() end
      if turns == 200 then redis:up() end
    end)
    settle(writers, state)
    for status, body in pairs(state.answers) do
      assert.is_true(status == 200 or status == 503 or status == 504, status .. " " .. body)
    end
    wait.till(function()
      local res = app:put("/api/session/s1", { json = { args = { v = 1000001 } }, seconds = 30 })
      return res.status == 200
    end, "Redis to serve again", 30)
    local view = http.pictures(app, "/stream/s1")
    view:till "<svg>1000001"
    view:close()
    finish(app, writers, views)
    redis:down()
  end)
end)
