-- Sealed connections, as a client of docs/protocol.md makes them.
local crypto = require "host.crypto"
local json = require "host.json"
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local SET = { ["password.ln"] = 10, ["limits.ws_rate"] = 0 }


local function salt_of(curve, answer, client_raw, server_raw)
  return crypto.sha256("lunacast sealed 1\0" .. curve .. "\0" .. answer.connection .. "\0"
    .. client_raw .. server_raw)
end


-- Agrees on keys: the connection gets `channel` and the methods `say` and `hear`.
local function seal(c, curve, form)
  local pair = crypto.key_pair(curve)
  local key = pair:public(form)
  if type(key) == "string" then key = crypto.base64url_encode(key) end
  c:text("hello-json:" .. json.encode { key = key, curve = curve })
  local answer = json.decode(c:read_text())
  assert.equal("hello", answer.type, answer.error)
  local server_raw = crypto.base64url_decode(answer.key)
  local secret = assert(pair:agree(server_raw))
  c.channel = secret:channel { salt = salt_of(curve, answer, pair:public(), server_raw),
    send = "client", receive = "server" }
  function c:sealed(text)
    local number, sealed = self.channel:seal(text)
    return ("sealed:%d:%s"):format(number, crypto.base64url_encode(sealed))
  end
  function c:say(text) self:text(self:sealed(text)) end
  function c:hear()
    self.last = self:read_text()
    local number, sealed = self.last:match "^sealed:(%d+):([%w_-]+)$"
    assert(number, "not sealed: " .. self.last)
    return json.decode(assert(self.channel:open(math.tointeger(number), crypto.base64url_decode(sealed))))
  end
  return c, answer
end


describe("a sealed connection #workers", function()
  local app
  setup(function() app = server.start { workers = 2, set = SET } end)
  teardown(function() app:stop() end)

  local function plain() return ws.connect(app, "/ws") end
  local function sealed(curve, form) return seal(plain(), curve or "X25519", form) end

  local function sync(c)
    c:say "sync"
    assert.equal("unknown_command", c:hear().code)
  end

  for _, curve in ipairs { "P-256", "X25519" } do
    for _, form in ipairs { "raw", "spki", "jwk" } do
      it(("is agreed on by %s as %s"):format(curve, form), function()
        local c = sealed(curve, form)
        c:say "subscribe:t|s"
        c:say 'publish-json:{"topic":"t","payload":"secret","session_id":"s"}'
        assert.equal("secret", c:hear().payload)
        assert.is_nil(c.last:find("secret", 1, true))
        c:close()
      end)
    end
  end

  it("gets broadcasts sealed for it, beside others that get them as they are", function()
    local a, b, c = sealed(), sealed "P-256", plain()
    for _, sub in ipairs { a, b } do
      sub:say "subscribe:news|s"
      sync(sub)
    end
    c:text "subscribe:news|s"
    c:text "sync"
    c:read_text()
    for i = 1, 50 do
      c:text(('publish-json:{"topic":"news","session_id":"s","payload":%d}'):format(i))
    end
    for i = 1, 50 do
      for _, sub in ipairs { a, b } do assert.equal(i, sub:hear().payload) end
      assert.equal(i, json.decode(c:read_text()).payload)
      assert.not_equal(a.last, b.last)
    end
    for _, client in ipairs { a, b, c } do
      assert.is_true((client:is_quiet()))
      client:close()
    end
  end)

  it("carries messages of every length", function()
    local c = sealed()
    c:say "subscribe:t|lengths"
    for _, n in ipairs { 0, 1, 80, 125, 126, 127, 1000, 30000, 48000 } do
      local payload = ("x"):rep(n)
      c:say('publish-json:{"topic":"t","session_id":"lengths","payload":"' .. payload .. '"}')
      assert.equal(payload, c:hear().payload)
    end
    c:close()
  end)

  it("takes nothing in the clear", function()
    local c = sealed()
    c:text "subscribe:t"
    assert.equal("not_sealed", c:hear().code)
    c:text "hello-json:{}"
    assert.equal("not_sealed", c:hear().code)
    sync(c)
    c:close()
  end)

  it("takes no message twice, none that was changed, none out of order", function()
    local c = sealed()
    local first, second, third = c:sealed "subscribe:a", c:sealed "subscribe:b", c:sealed "sync"
    local function refused(text, code)
      c:text(text)
      assert.equal(code, c:hear().code)
    end
    refused(second, "out_of_order")
    refused(first:sub(1, -2) .. (first:sub(-1) == "A" and "Q" or "A"), "not_opened")
    refused(first:gsub("^sealed:1:", "sealed:01:"), "not_opened")
    refused("sealed:1:", "not_opened")
    refused("sealed:", "not_opened")
    c:text(first)
    refused(first, "replay")
    c:text(second)
    refused(second, "replay")
    refused(first, "replay")
    refused(third, "unknown_command")
    c:close()
  end)

  it("does not open what was sealed for another connection", function()
    local a, b = sealed(), sealed()
    b:text(a:sealed "subscribe:t")
    assert.equal("not_opened", b:hear().code)
    a:close()
    b:close()
  end)

  it("is agreed on once, and before anything is subscribed", function()
    local c = sealed()
    c:say "hello-json:{}"
    assert.equal("bad_key", c:hear().code)
    local key = crypto.base64url_encode(crypto.key_pair("P-256"):public())
    c:say('hello-json:{"key":"' .. key .. '"}')
    assert.equal("too_late", c:hear().code)
    sync(c)
    c:close()
    local late = plain()
    late:text "subscribe:t"
    late:text('hello-json:{"key":"' .. key .. '"}')
    assert.equal("too_late", json.decode(late:read_text()).code)
    late:text "sync"
    assert.equal("unknown_command", json.decode(late:read_text()).code)
    late:close()
  end)

  it("is not begun by a key that is none", function()
    local c = plain()
    local x25519 = crypto.base64url_encode(crypto.key_pair("X25519"):public())
    for text, code in pairs {
      [""] = "bad_json", ["[]"] = "bad_key", ["null"] = "bad_json", ["7"] = "bad_json", ["{}"] = "bad_key",
      ['{"key":7}'] = "bad_key", ['{"key":""}'] = "bad_key", ['{"key":"????"}'] = "bad_key",
      ['{"key":"AAAA"}'] = "bad_key", ['{"key":{}}'] = "bad_key", ['{"key":[]}'] = "bad_key",
      ['{"key":null}'] = "bad_key", ['{"key":"' .. x25519 .. '"}'] = "bad_key",
      ['{"key":"' .. x25519 .. '","curve":"P-384"}'] = "bad_key",
      ['{"key":"' .. x25519 .. '","curve":7}'] = "bad_key",
      ['{"curve":"X25519","key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}'] = "bad_key",
    } do
      c:text("hello-json:" .. text)
      assert.equal(code, json.decode(c:read_text()).code, text)
    end
    c:text "sealed:1:AAAA"
    assert.equal("unknown_command", json.decode(c:read_text()).code)
    seal(c, "X25519")
    sync(c)
    c:close()
  end)

  it("proves by a published key whose key it is", function()
    local set = jwk.import(app:get("/.well-known/jwks.json").body)
    local c, pair = plain(), crypto.key_pair "P-256"
    local key = crypto.base64url_encode(pair:public())
    c:text('hello-json:{"prove":true,"key":"' .. key .. '"}')
    local answer = json.decode(c:read_text())
    local claims = assert(jwt.verify(answer.proof, set, { audience = "sealed" }))
    assert.same({ key, answer.key, answer.connection },
      { claims.client, claims.server, claims.connection })
    c:close()
    -- The proof is no token for anything.
    local refused = ws.open(app, "/ws?token=" .. answer.proof)
    assert.equal(401, refused.status)
    refused:close()
  end)

  it("is sealed, not compressed, when both were agreed on", function()
    local c = seal(ws.connect(app, "/ws", { ["Sec-WebSocket-Extensions"] = "permessage-deflate" }), "X25519")
    local other = ws.connect(app, "/ws", { ["Sec-WebSocket-Extensions"] = "permessage-deflate" })
    other:text "subscribe:t|packed"
    c:say "subscribe:t|packed"
    local payload = ("x"):rep(3000)
    c:say('publish-json:{"topic":"t","session_id":"packed","payload":"' .. payload .. '"}')
    assert.equal(payload, c:hear().payload)
    c:close()
    other:close()
  end)

  it("stays sealed through a reload", function()
    local c = sealed()
    c:say "subscribe:t|reload"
    sync(c)
    local reloads = app:metric "lunacast_reloads_total" or 0
    app.process:kill "sighup"
    wait.till(function() return (app:metric "lunacast_reloads_total" or 0) > reloads end)
    c:say 'publish-json:{"topic":"t","session_id":"reload","payload":1}'
    assert.equal(1, c:hear().payload)
    c:text "subscribe:u"
    assert.equal("not_sealed", c:hear().code)
    c:close()
  end)

  it("appears in no log", function()
    local c, answer = sealed()
    sync(c)
    c:close()
    for _, word in ipairs { "sealed:", answer.key } do
      assert.is_nil(app.process.err:find(word, 1, true))
    end
  end)
end)


describe("a hook", function()
  it("sees what a sealed message says, and can refuse it", function()
    local app = server.start { workers = 1, set = SET, files = { ["lua/hooks/spec.lua"] = [[
      return { message = function(c)
        if c.data:find("forbidden words", 1, true) then return false, "no such words", "words" end
      end }]] } }
    local c = seal(ws.connect(app, "/ws"), "X25519")
    c:say 'publish-json:{"topic":"t","payload":"forbidden words"}'
    assert.equal("words", c:hear().code)
    c:say "sync"
    assert.equal("unknown_command", c:hear().code)
    c:close()
    app:stop()
  end)
end)


describe("a route's own WebSocket", function()
  it("can be sealed too, from its opening on", function()
    local app = server.start { workers = 1, set = SET, files = { ["lua/routes/own.lua"] = [[
      local crypto = require "host.crypto"
      return { path = "/own", WS = {
        open = function(ws)
          local secret = crypto.secret("a secret that both of them know")
          ws:seal(secret:channel { send = "server", receive = "client" }, "welcome")
        end,
        message = function(ws, data) ws:send("you said " .. data) end,
      } }]] } }
    local c = ws.connect(app, "/own")
    assert.equal("welcome", c:read_text())
    local channel = crypto.secret("a secret that both of them know"):channel { send = "client", receive = "server" }
    local number, sealed = channel:seal "hello"
    c:text(("sealed:%d:%s"):format(number, crypto.base64url_encode(sealed)))
    local heard, data = c:read_text():match "^sealed:(%d+):(.*)$"
    assert.equal("you said hello", channel:open(math.tointeger(heard), crypto.base64url_decode(data)))
    c:close()
    app:stop()
  end)
end)
