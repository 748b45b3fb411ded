-- Sealed connections of the client in C, to real servers.
local driver = require "spec.support.client_driver"
local json = require "host.json"
local jwk = require "host.jwk"
local process = require "spec.support.process"
local proxy = require "host.test.proxy"
local wait = require "spec.support.wait"


local function look(client, part)
  client:say "look"
  local value = client:hears "looked"[part]
  return value ~= "-" and value or nil
end


local function sealed(client) return look(client, 8) end


describe("the client in C on a sealed connection", function()
  local app, address

  setup(function()
    app = driver.server()
    address = app.address
  end)

  teardown(function() app:stop() end)

  for _, curve in ipairs { "P-256", "X25519" } do
    it(("talks by %s beside one in the clear"):format(curve), function()
      local ann = driver.start(driver.url(address), { name = "ann", session = curve, seal = curve })
      local bob = driver.start(driver.url(address), { session = curve })
      for _, client in ipairs { ann, bob } do
        client:opens()
        client:say("subscribe", "news", false, false, false, false, "presence")
        client:hears "presence"
      end
      assert.is_string(sealed(ann))
      assert.is_nil(sealed(bob))
      for i = 1, 20 do ann:say("publish", "news", false, i) end
      for i = 1, 20 do
        assert.equal(i, ann:payload())
        assert.equal(i, bob:payload())
      end
      local large = ("x"):rep(40000)
      bob:say("publish", "news", false, json.encode(large))
      assert.equal(large, ann:payload())
      ann:say("publish", "news", false, json.encode(large))
      assert.equal(large, bob:payload())
      ann:quit()
      bob:quit()
    end)
  end

  it("has other keys after the connection was cut, and misses nothing", function()
    local way = proxy.new(address)
    local ann = driver.start(driver.url(way), { session = "cut", seal = "X25519", delay = 50 })
    local bob = driver.start(driver.url(address), { session = "cut" })
    bob:opens()
    ann:opens()
    ann:say("subscribe", "kept.cut", false, false, false, "resume")
    ann:say("publish", "kept.cut", false, 1)
    assert.equal(1, ann:payload())
    local before = sealed(ann)
    way:cut { refuse = true }
    ann:becomes "waiting"
    assert.is_nil(sealed(ann))
    ann:say("publish", "kept.cut", false, 3)
    bob:say("publish", "kept.cut", false, 2)
    bob:say("history", "kept.cut", false, false, 1)
    bob:hears "answer"
    way:mend()
    assert.equal(2, ann:payload())
    assert.equal(3, ann:payload())
    assert.not_equal(before, assert(sealed(ann)))
    ann:quit()
    bob:quit()
    way:close()
  end)

  it("opens where the server proves its key, and not where it can't", function()
    local keys = app:get("/.well-known/jwks.json").body
    local ann = driver.start(driver.url(address), { seal = "P-256", keys = keys })
    ann:opens()
    assert.is_string(sealed(ann))
    ann:quit()
    local others = jwk.set({ jwk.generate "RS256" }):json()
    local eve = driver.start(driver.url(address), { seal = "P-256", keys = others, delay = 50 })
    eve:say "connect"
    assert.equal("untrusted", eve:hears "error"[2])
    eve:becomes "waiting"
    assert.is_nil(eve.process.out:find("open", 1, true))
    eve:quit()
    for _, text in ipairs { "", "{}", '{"keys":[]}', '{"keys":[{"kty":"oct","k":"AAAA"}]}' } do
      local done = process.run(driver.program "client_driver",
        { driver.url(address), "seal=P-256", "keys=" .. text })
      assert.matches("no set of keys", done.err)
    end
  end)
end)


describe("the client in C on a sealed connection, and its server", function()
  it("tell of a new token inside it", function()
    local app = driver.server { ["pubsub.ttl"] = "12s" }
    local ann = driver.start(driver.url(app.address), { seal = "P-256" })
    ann:say("login", "ann", "word", false)
    ann:opens()
    local id, token = sealed(ann), look(ann, 7)
    wait.till(function() return look(ann, 7) ~= token end, "another token")
    wait.pause(4) -- the old one has ended
    assert.equal(id, sealed(ann))
    ann:say("subscribe", "news")
    ann:say("publish", "news", false, "1")
    ann:hears "message"
    ann:quit()
    app:stop()
  end)
end)
