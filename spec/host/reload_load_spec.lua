-- Reloads while people look, talk and ask: nobody notices any of them.
local http = require "spec.support.http"
local json = require "host.json"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

-- Three files that must always be of one set: a route, a module that it requires, and a template.
local function set_of(n)
  return {
    ["lua/word.lua"] = ("return 'w%d'"):format(n),
    ["templates/word.html"] = ("t%d {{ n | mark }}"):format(n),
    ["lua/filters/mark.lua"] = ("return function() return 'f%d' end"):format(n),
    ["lua/routes/word.lua"] = ([[
      local web = require "web"
      local n = %d
      return { path = "/word", GET = function()
        local text = web.render("word.html", { n = 1 }).body
        return web.text(("r%%d %%s %%s"):format(n, require "word", text)) -- at first use
      end }
    ]]):format(n),
  }
end

local TALK = [[
local hub = require "host.hub"
local web = require "web"
return { path = "/talk", WS = {
  open = function(ws)
    ws.data.heard = 0
    ws:subscribe("talk", { mode = "log" })
  end,
  message = function(ws, text)
    ws.data.heard = ws.data.heard + 1
    ws:send(("echo %d %s"):format(ws.data.heard, text))
  end,
}, POST = function(req)
  hub.publish("talk", req.json.text, { mode = "log" })
  return web.empty()
end }
]]


-- Lets the viewers' sockets, which have a loop of their own, go on while something is waited for.
local function with_viewers(done)
  return function()
    uv.run "nowait"
    return done()
  end
end


-- Viewers as cheap as possible: a socket, a count, and the last bytes.
local function crowd(app, count)
  local list, open = {}, 0
  for i = 1, count do
    local viewer = { socket = uv.new_tcp(), tail = "" }
    list[i] = viewer
    viewer.socket:connect("127.0.0.1", app.port, function(err)
      assert(not err, err)
      viewer.socket:write "GET /stream/live?raw=1 HTTP/1.1\r\nHost: spec\r\n\r\n"
      viewer.socket:read_start(function(_, data)
        if not data then
          viewer.ended = true
        else
          if viewer.tail == "" then open = open + 1 end
          viewer.tail = (viewer.tail .. data):sub(-500)
        end
      end)
    end)
    if i % 200 == 0 then wait.till(with_viewers(function() return open >= i - 100 end), "viewers", 60) end
  end
  wait.till(with_viewers(function() return open == count end), "all viewers", 60)
  return list
end


local function all_see(viewers, text)
  wait.till(with_viewers(function()
    for _, viewer in ipairs(viewers) do
      if viewer.ended or not viewer.tail:find(text, 1, true) then return false end
    end
    return true
  end), "everybody to see " .. text, 60)
end


local function close_all(viewers)
  for _, viewer in ipairs(viewers) do viewer.socket:close() end
  uv.run "nowait"
end


-- One answer of one set of files: r3 w3 t3 f3.
local function check_word(c, oldest)
  local res = http.ask(c, "GET", "/word")
  assert.equal(200, res.status)
  local r, w, t, f = res.body:match "^r(%d+) w(%d+) t(%d+) f(%d+)$"
  assert.is_truthy(r, res.body)
  assert.is_true(r == w and w == t and t == f, res.body)
  assert.is_true(tonumber(r) >= oldest, res.body)
  return tonumber(r)
end


local function ask_status(app)
  return http.request({ path = app.data .. "/control.sock" }, "GET", "/status"):json()
end


-- All messages once and in order, and answers that count what this connection has said: what a
-- script keeps of a connection has moved along.
local function hear(talker, messages, turns)
  local heard, echoes = 0, 0
  while heard < messages or echoes < turns do
    local text = assert(talker:read_text(), "a message is missing")
    if text:find "^echo" then
      echoes = echoes + 1
      assert.equal(echoes, tonumber(text:match "^echo (%d+)"))
    else
      heard = heard + 1
      assert.equal("m" .. heard, text)
    end
  end
end


local function scenario(size)
  local files = set_of(0)
  files["lua/routes/talk.lua"] = TALK
  local app = server.start {
    files = files, workers = 2, set = { watch = false, ["log.access"] = false, ["ws.ping"] = "1d" },
    -- what is freed goes back to the system, as without sanitizers
    env = {
      ASAN_OPTIONS = "quarantine_size_mb=4:detect_leaks=1:allocator_release_to_os_interval_ms=0",
      TSAN_OPTIONS = (os.getenv "TSAN_OPTIONS" or "") .. ":allocator_release_to_os_interval_ms=0",
    },
  }
  app:post("/api/session", { json = { session_id = "live", template = "<svg>{{ n }}</svg>", args = { n = 0 } } })
  local viewers, talkers = crowd(app, size.viewers), {}
  for i = 1, size.sockets do talkers[i] = ws.connect(app, "/talk") end
  local c, control = app:connect(), http.connect { path = app.data .. "/control.sock" }
  local said, turns, memory = 0, {}, nil

  for n = 1, size.reloads do
    server.write(app.folder, set_of(n))
    control:send(http.format("POST", "/reload"))
    for _ = 1, 3 do
      check_word(c, n - 1)
      said = said + 1
      local res = http.ask(c, "POST", "/talk", { json = { text = "m" .. said } })
      assert.equal(204, res.status)
    end
    local i = 1 + n % #talkers
    turns[i] = (turns[i] or 0) + 1
    talkers[i]:text("turn " .. n)
    assert.equal(200, http.ask(c, "PUT", "/api/session/live", { json = { args = { n = n } } }).status)
    local res = http.read_response(control, "POST", 60)
    assert.equal(200, res.status, res.body)
    uv.run "nowait"
    assert.equal(n, check_word(c, n))
    if n == size.reloads // 4 then memory = ask_status(app).memory.resident end
  end

  all_see(viewers, ("<svg>%d</svg>"):format(size.reloads))
  for i, talker in ipairs(talkers) do hear(talker, said, turns[i] or 0) end
  wait.pause(0.3)
  for _, talker in ipairs(talkers) do assert.equal("", talker.wire:peek()) end
  wait.till(function() return ask_status(app).draining.vms == 0 end, "old scripts to go", 60)
  assert.equal(size.reloads + 1, ask_status(app).scripts.generation)
  local after
  local back = wait.turn(function()
    after = ask_status(app).memory.resident
    return after < memory * size.memory
  end, wait.LIMIT)
  assert.is_true(back, json.encode { before = memory, after = after })
  assert.equal(0, app:metric "lunacast_messages_lost_total")
  close_all(viewers)
  for _, talker in ipairs(talkers) do talker:close() end
  c:close()
  control:close()
  app:stop(60)
end


describe("reloads under load", function()
  it("close no connection, lose and double no message, fail no request #workers", function()
    scenario { viewers = 200, sockets = 20, reloads = 12, memory = 1.8 }
  end)

  it("do not at full size either: 10,000 viewers, 1,000 WebSockets, 100 reloads #soak", function()
    scenario { viewers = 10000, sockets = 1000, reloads = 100, memory = 1.25 }
  end)
end)
