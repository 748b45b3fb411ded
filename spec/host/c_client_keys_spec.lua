-- Payloads that the client in C seals from end to end.
local crypto = require "host.crypto"
local driver = require "spec.support.client_driver"
local json = require "host.json"

local NOT_SEALED, NOT_OPENED, REPLAY = "-12", "-13", "-14"


local function vectors()
  local file <close> = assert(io.open "spec/protocol/vectors.json")
  return json.decode(file:read "a")
end


local function bytes(hex)
  return (hex:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end))
end


-- Needs no server: it never connects.
local function client()
  return driver.start "ws://127.0.0.1:1/ws"
end


local function with_key(text)
  local self = client()
  self:say("key", text)
  return self, self:hears "key"[2]
end


local function seal(self, topic, payload)
  self:say("seal", topic, json.encode(payload))
  return self:hears "sealed"[2]
end


-- The code, and what was opened.
local function open(self, topic, payload, session)
  self:say("open", topic, payload, session or false)
  return table.unpack(self:hears "opened", 2, 3)
end


describe("a key that clients in C share", function()
  it("opens the payloads of the vectors", function()
    local payloads = vectors().payloads
    local bob = with_key(crypto.base64url_encode(bytes(payloads[1].key)))
    for _, v in ipairs(payloads) do
      local code, text = open(bob, v.topic, json.encode { sealed = v.sealed })
      assert.equal("0", code)
      assert.same(v.payload, json.decode(text))
    end
    bob:quit()
  end)

  it("opens what was sealed for the topic, once in each place, in order", function()
    local ann, text = with_key(false)
    local bob = with_key(text)
    local first, second, third = seal(ann, "t", { 1 }), seal(ann, "t", json.null), seal(ann, "u", 3)
    assert.same({ "0", "[1]" }, { open(bob, "t", first) })
    assert.same({ "0", "null" }, { open(bob, "t", second) })
    assert.equal(REPLAY, (open(bob, "t", first)))
    assert.equal(REPLAY, (open(bob, "t", second)))
    assert.same({ "0", "[1]" }, { open(bob, "t", first, "another") })
    assert.equal(NOT_OPENED, (open(bob, "t", third)))
    assert.same({ "0", "3" }, { open(bob, "u", third) })
    assert.equal(REPLAY, (open(bob, "t", second)))
    bob:say("seal", "t", "{broken")
    assert.equal("-3", bob:hears "failed"[2])
    ann:quit()
    bob:quit()
  end)

  it("opens nothing else", function()
    local ann, text = with_key(false)
    local bob, eve = with_key(text), with_key(false)
    local sealed = seal(ann, "t", 1)
    assert.equal(NOT_OPENED, (open(eve, "t", sealed)))
    for _, payload in ipairs { "1", "null", "[]", "{}", '"x"', '{"sealed":1}', '{"sealed":null}' } do
      assert.equal(NOT_SEALED, (open(bob, "t", payload)), payload)
    end
    local name, number, data = json.decode(sealed).sealed:match "^(.-)%.(.-)%.(.*)$"
    for _, wrong in ipairs { "", ".", "..", "...", "a.b.c", name, name .. ".1", name .. ".01." .. data,
      name .. ".0." .. data, name .. ".2." .. data, name .. ".99999999999." .. data,
      name .. ".+1." .. data, "x" .. name .. ".1." .. data, ("A"):rep(22) .. ".1." .. data,
      ("?"):rep(22) .. ".1." .. data, name .. ".1." .. data .. ".x", name .. ".1." .. data:sub(1, -3),
      name .. ".1." } do
      assert.equal(NOT_OPENED, (open(bob, "t", json.encode { sealed = wrong })), wrong)
    end
    assert.equal("1", number)
    assert.equal("0", (open(bob, "t", sealed))) -- none of those has counted
    for _, wrong in ipairs { "x", "???", ("A"):rep(42), ("A"):rep(44) } do
      eve:say("key", wrong)
      assert.equal("-11", eve:hears "failed"[2])
    end
    for _, each in ipairs { ann, bob, eve } do each:quit() end
  end)

  it("remembers a thousand senders", function()
    local bob, text = with_key(false)
    local ann = with_key(text)
    local sealed = seal(ann, "t", 1)
    for i = 1, 1000 do assert.equal("0", (open(bob, "t", sealed, "s" .. i))) end
    assert.equal(REPLAY, (open(bob, "t", sealed, "s1"))) -- and is heard last
    assert.equal("0", (open(bob, "t", sealed, "new")))
    assert.equal(REPLAY, (open(bob, "t", sealed, "s1")))
    assert.equal("0", (open(bob, "t", sealed, "s2"))) -- forgotten
    ann:quit()
    bob:quit()
  end)

  for _, curve in ipairs { "P-256", "X25519" } do
    it(("is agreed on by %s"):format(curve), function()
      local both, halves, keys = { client(), client() }, {}, {}
      for i, each in ipairs(both) do
        each:say("pair", curve)
        halves[i] = each:hears "pair"[2]
      end
      both[1]:say("agree", "AAAA")
      assert.equal("-11", both[1]:hears "failed"[2])
      for i, each in ipairs(both) do
        each:say("agree", halves[3 - i])
        keys[i] = each:hears "key"[2]
      end
      assert.equal(keys[1], keys[2])
      for _, each in ipairs(both) do each:quit() end
    end)
  end

  it("keeps the server out of what is published", function()
    local app = driver.server()
    local ann = driver.start(driver.url(app.address), { session = "s" })
    ann:say("key", false)
    ann:say("subscribe", "news")
    ann:opens()
    local sealed = {} -- all before any is published: hearing of one skips what was told before
    for i = 1, 3 do sealed[i] = seal(ann, "news", { secret = i }) end
    for i = 1, 3 do ann:say("publish", "news", false, sealed[i]) end
    for i = 1, 3 do
      assert.is_nil(ann:hears "message"[4]:find("secret", 1, true))
      assert.same({ "opened", "0", json.encode { secret = i } }, ann:hears "opened")
    end
    ann:quit()
    app:stop()
  end)
end)
