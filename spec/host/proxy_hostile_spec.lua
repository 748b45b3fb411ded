-- Peers that mean harm, on either side of web.proxy: what reaches the upstream is at most one
-- well-formed request, whatever was sent; what reaches the client is never more than was meant.
local http = require "spec.support.http"
local refused = require "spec.support.refused"
local server = require "spec.support.server"
local upstream = require "spec.support.upstream"
local wait = require "spec.support.wait"

local function count(text, pattern)
  local _, n = text:gsub(pattern, "")
  return n
end

-- A whole request as RFC 9112 has it.
local function check_request(raw, name)
  local head = assert(raw:match "^(.-)\r\n\r\n", name)
  local lower = "\r\n" .. head:lower() .. "\r\n"
  assert.matches("^%u+ /%S* HTTP/1.1$", head:match "^[^\r]*", nil, name)
  assert.equal(1, count(lower, "\r\nhost: "), name)
  local lengths, codings = count(lower, "\r\ncontent%-length:"), count(lower, "\r\ntransfer%-encoding:")
  assert.is_true(lengths + codings <= 1, name .. ": " .. head)
  assert.equal(count(head, "\n"), count(head, "\r\n"), name)
  assert.equal(count(head, "\r"), count(head, "\r\n"), name)
  assert.is_nil(head:find "[%z\1-\8\11\12\14-\31\127]", name)
end


describe("web.proxy between hostile peers", function()
  local up, app

  setup(function()
    math.randomseed(815)
    up = upstream.start()
    app = server.start {
      workers = 1, set = { ["log.level"] = "off" },
      files = { ["config.lua"] = ([[return { gateway = {
        { prefix = "/up", upstream = "%s", strip = 1, timeout = 2 },
        { prefix = "/smuggled", upstream = "%s" },
      } }]]):format(up.url, up.url) },
    }
  end)

  teardown(function()
    app:stop()
    up:stop()
  end)

  before_each(function() up:forget() end)

  local function through(case, next_size)
    local name = case[1]
    local bytes = (case[2] .. refused.MARKER):gsub(" /health", " /up/health"):gsub(" /echo", " /up/echo")
    local c = app:connect()
    refused.send(c, bytes, next_size)
    assert.is_true(c:ends_within(), name .. ": the connection stays open")
    c:close()
    local records = up:records()
    assert.is_true(#records <= 1, name)
    for _, record in ipairs(records) do
      assert.is_nil(record.raw:find("smuggled", 1, true), name)
      check_request(record.raw, name)
    end
    for _, left in ipairs(up:left()) do -- begun, and given up with its connection
      assert.is_nil(left:find("smuggled", 1, true), name)
      assert.equal(1, count(left, "HTTP/1.1"), name)
    end
    if #records > 0 or #up:left() > 0 then up:forget() end
  end

  local function each(fn)
    for _, case in ipairs(refused.cases) do
      if not case[1]:find "^L03" then fn(case) end -- lengths have no cap here
    end
  end

  it("lets one well-formed request through at most, when it comes whole", function()
    each(function(case) through(case, function() return 1 << 20 end) end)
  end)

  it("lets one well-formed request through at most, in any splits", function()
    each(function(case)
      local most = #case[2] < 1000 and 30 or 3000
      through(case, function() return math.random(most) end)
    end)
  end)

  it("asks the upstream nothing once a request has turned out broken", function()
    local c = app:connect()
    c:send("POST /up/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    wait.till(function() return #up:left() == 1 end, "the begun request")
    local before = up:ended()
    c:send "zz\r\n"
    assert.equal(400, http.read_response(c).status)
    assert.is_true(c:ends_within())
    wait.till(function() return up:ended() > before end, "the upstream's end")
    assert.equal(0, #up:records())
    c:close()
  end)

  it("holds a fast upstream back for a slow client, and keeps its memory", function()
    local fast = upstream.start("node", { "spec/support/flood.mjs" })
    local flood = server.start { workers = 1, files = { ["config.lua"] = ([[return { gateway = {
      { prefix = "/up", upstream = "%s" } } }]]):format(fast.url) } }
    assert.equal(200, flood:get("/up/1").status)
    local before = flood.process:memory()
    local c = flood:connect()
    c:pause()
    c:send "GET /up/400 HTTP/1.1\r\nHost: a\r\n\r\n"
    local function sent() return tonumber(http.request(fast, "GET", "/sent").body) end
    local last = -1
    wait.till(function()
      local now = sent()
      local still = now == last and now > 0
      last = now
      if not still then wait.turn(function() return false end, 0.3) end
      return still
    end, "the flood to stand still")
    assert.is_true(last < 40e6, "sent: " .. last) -- what the kernel's buffers hold
    -- Freed memory counts too: the address sanitizer keeps it for a while.
    assert.is_true(flood.process:memory() - before < 32 << 20, "held: "
      .. flood.process:memory() - before)
    c:resume()
    local head = http.read_head(c)
    assert.equal(tostring(400 << 20), head.headers["content-length"])
    local began, received = c.received, 0
    wait.till(function()
      c.pieces, c.text = {}, ""
      received = c.received - began
      return received > 100 << 20
    end, "it to flow again", 60)
    c:close()
    wait.till(function() return sent() < 0 end, "the upstream to be told")
    flood:stop()
    fast:stop()
  end)

  it("cuts a client that sends its body too slowly, and the upstream with it", function()
    local slow = server.start { workers = 1,
      set = { ["limits.body_grace"] = "500ms" },
      files = { ["config.lua"] = ([[return { gateway = {
        { prefix = "/up", upstream = "%s" } } }]]):format(up.url) } }
    local before = up:ended()
    local c = slow:connect()
    c:send "POST /up/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc"
    assert.equal(408, http.read_response(c).status)
    wait.till(function() return up:ended() > before end, "the upstream's end")
    c:close()
    slow:stop()
  end)
end)
