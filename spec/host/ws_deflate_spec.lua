-- permessage-deflate end to end: what is agreed on, what comes, what goes, and what a bomb costs.
local server = require "spec.support.server"
local ws = require "spec.support.ws"

local ROUTE = [[
local hub = require "host.hub"

return { path = "/echo", WS = {
  message = function(ws, data, binary)
    local name, rest = data:match "^!(%w+) ?(.*)$"
    if name == "log" then
      assert(ws:subscribe(rest, { mode = "log" }))
      ws:send "following"
    elseif name == "large" then
      hub.publish("log", ("abcdefgh"):rep(tonumber(rest)), { mode = "log" })
    elseif name == "short" then
      hub.publish("log", rest, { mode = "log" })
    else
      ws:send(data, binary)
    end
  end,
} }
]]

local TERMS = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
local OFFER = { ["Sec-WebSocket-Extensions"] = "permessage-deflate; client_max_window_bits" }
-- RFC 7692, 7.2.3
local HELLO = "\xf2\x48\xcd\xc9\xc9\x07\x00"


-- n bytes "x", n - 1 a multiple of 8 * 258, as fixed codes: the letter, then matches of length 258
-- at distance 1, 13 bits each.
local function bomb(n)
  local bits = { 0, 1, 0 } -- no final block, fixed codes
  local function code(value, count)
    for i = count - 1, 0, -1 do bits[#bits + 1] = value >> i & 1 end
  end
  code(0x30 + ("x"):byte(), 8)
  for _ = 1, (n - 1) // 258 do
    code(0xc5, 8)
    code(0, 5)
  end
  code(0, 7)
  for _ = 1, 3 do bits[#bits + 1] = 0 end -- an empty stored block: the flush, up to its length
  local bytes = {}
  for i = 1, #bits, 8 do
    local byte = 0
    for k = 0, 7 do byte = byte | (bits[i + k] or 0) << k end
    bytes[#bytes + 1] = string.char(byte)
  end
  return table.concat(bytes)
end


local function start(set)
  set = set or {}
  if set["ws.deflate"] == nil then set["ws.deflate"] = true end
  return server.start { files = { ["lua/routes/echo.lua"] = ROUTE }, set = set, workers = 1 }
end


describe("permessage-deflate", function()
  local app
  setup(function() app = start() end)
  teardown(function() app:stop() end)

  it("is agreed on in the answer's head", function()
    for offer, answer in pairs {
      ["permessage-deflate"] = TERMS,
      ["x-other, permessage-deflate; server_max_window_bits=12"] = TERMS .. "; server_max_window_bits=12",
      ["permessage-deflate; server_max_window_bits=99"] = false,
      ["x-other"] = false,
    } do
      local c = ws.connect(app, "/echo", { ["Sec-WebSocket-Extensions"] = offer })
      assert.equal(answer or nil, c.headers["sec-websocket-extensions"])
      c:close()
    end
    local c = ws.connect(app, "/echo")
    assert.is_nil(c.headers["sec-websocket-extensions"])
    c:raw(ws.frame(0xc1, HELLO))
    assert.equal(1002, (c:read_close()))
    c:close()
  end)

  it("inflates what comes, whole or in fragments, between messages that are not compressed", function()
    local c = ws.connect(app, "/echo", OFFER)
    c:raw(ws.frame(0xc1, HELLO))
    assert.equal("Hello", c:read_text())
    c:text "plain"
    assert.equal("plain", c:read_text())
    c:raw(ws.frame(0x41, HELLO:sub(1, 3)) .. ws.frame(0x89, "p") .. ws.frame(0x80, HELLO:sub(4)))
    assert.equal("pong", c:read().kind)
    assert.equal("Hello", c:read_text())
    c:close()
  end)

  it("compresses what is long enough, and sends the rest as it is", function()
    local c = ws.connect(app, "/echo", OFFER)
    c:text(("x"):rep(255))
    assert.equal(0x81, c:read().first)
    c:text(("x"):rep(256))
    local frame = c:read()
    assert.equal(0xc1, frame.first)
    assert.is_true(#frame.data < 20)
    c:raw(ws.frame(0xc1, frame.data)) -- what it wrote is what it reads
    assert.equal(frame.data, c:read().data)
    c:close()
  end)

  it("ends with the code that says what was wrong", function()
    for _, case in ipairs {
      { "the bit on a continuation", ws.frame(0x41, HELLO:sub(1, 3)) .. ws.frame(0xc0, "x"), 1002 },
      { "the bit on a ping", ws.frame(0xc9, ""), 1002 },
      { "another reserved bit", ws.frame(0xe1, HELLO), 1002 },
      { "no deflate", ws.frame(0xc1, "\xff\xff\xff"), 1007 },
      { "text that is not UTF-8", ws.frame(0xc1, "\x00\x01\x00\xfe\xff\xff\x00"), 1007 },
      { "a bomb", ws.frame(0xc2, bomb(1 + 258 * 30000)), 1009 },
      { "more than ten times", ws.frame(0xc2, bomb(1 + 258 * 40)), 1009 },
    } do
      local c = ws.connect(app, "/echo", OFFER)
      c:raw(case[2])
      assert.equal(case[3], (c:read_close()), case[1])
      c:close()
    end
  end)

  it("gives the newest messages of a topic to those with it and to those without", function()
    local packed, plain = ws.connect(app, "/echo", OFFER), ws.connect(app, "/echo")
    local small = ws.connect(app, "/echo",
      { ["Sec-WebSocket-Extensions"] = "permessage-deflate; server_max_window_bits=9" })
    for _, c in ipairs { packed, plain, small } do
      c:text "!log log"
      assert.equal("following", c:read_text())
    end
    plain:text "!large 1000"
    local text = ("abcdefgh"):rep(1000)
    assert.equal(text, plain:read_text())
    assert.equal(text, small:read_text())
    local frame = packed:read()
    assert.equal(0xc1, frame.first)
    assert.is_true(#frame.data < 100)
    plain:text "!short hello"
    for _, c in ipairs { packed, plain, small } do
      assert.equal("hello", c:read_text())
      c:close()
    end
  end)
end)


describe("a limit on what a compressed message becomes", function()
  it("is that of messages, where any number of times is allowed", function()
    local app = start { ["ws.inflate"] = 0, ["limits.ws_message"] = 20000 }
    local c = ws.connect(app, "/echo", OFFER)
    c:raw(ws.frame(0xc2, bomb(1 + 258 * 70)))
    local frame = c:read()
    assert.equal(0xc2, frame.first)
    c:raw(ws.frame(0xc2, bomb(1 + 258 * 80)))
    assert.equal(1009, (c:read_close()))
    c:close()
    app:stop()
  end)
end)


describe("permessage-deflate where it is not wanted", function()
  it("is not agreed on", function()
    local app = start { ["ws.deflate"] = false }
    local c = ws.connect(app, "/echo", OFFER)
    assert.is_nil(c.headers["sec-websocket-extensions"])
    c:raw(ws.frame(0xc1, HELLO))
    assert.equal(1002, (c:read_close()))
    c:close()
    app:stop()
  end)
end)
