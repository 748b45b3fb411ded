-- The client in C fetches its tokens from real servers.
local certificate = require "spec.support.certificate"
local driver = require "spec.support.client_driver"
local proxy = require "host.test.proxy"
local time = require "host.time"
local wait = require "spec.support.wait"


local function look(client)
  client:say "look"
  local _, authenticated, _, _, _, _, token = table.unpack(client:hears "looked")
  return authenticated == "1", token ~= "-" and token or nil
end


-- The first token that is not `old`.
local function next_token(client, old)
  return wait.till(function()
    local authenticated, token = look(client)
    return authenticated and token ~= old and token
  end, "another token")
end


describe("the client in C that has logged in", function()
  local app, address

  setup(function()
    app = driver.server()
    address = app.address
  end)

  teardown(function() app:stop() end)

  it("opens with a token that is bound to its session, or to none", function()
    local ann = driver.start(driver.url(address))
    ann:say("login", "ann", "pä\"ss", "mine")
    ann:opens()
    assert.is_true(look(ann))
    ann:say("subscribe", "news", "elsewhere")
    assert.equal("other_session", ann:hears "error"[2])
    ann:quit()
    local bob = driver.start(driver.url(address))
    bob:say("login", "bob", "word", false)
    bob:opens()
    bob:say("subscribe", "news", "anywhere")
    bob:say("publish", "news", "anywhere", "1")
    bob:hears "message"
    bob:quit()
  end)

  it("is closed by a wrong password, and opens with the right one", function()
    local first = driver.start(driver.url(address))
    first:say("login", "eve", "right", false)
    first:opens()
    first:quit()
    local eve = driver.start(driver.url(address))
    eve:say("login", "eve", "wrong", false)
    eve:say "connect"
    assert.same({ "error", "wrong_password", "this username is taken, and its password is another one" },
      eve:hears "error")
    eve:becomes "closed"
    eve:say("login", "e|ve", "right", false)
    eve:say "connect"
    assert.equal("invalid", eve:hears "error"[2])
    eve:becomes "closed"
    eve:say("login", "eve", "right", false)
    eve:opens()
    eve:quit()
  end)

  it("fetches another one when the server has refused the one at hand", function()
    local ann = driver.start(driver.url(address), { delay = 50 })
    ann:say("login", "refused", "word", false)
    ann:say("token", "wrong", 3600)
    ann:say "connect"
    assert.equal("invalid_token", ann:hears "error"[2])
    ann:becomes "open"
    assert.is_true(look(ann))
    ann:quit()
  end)

  it("fetches when it is told to, without a connection, and not after it has forgotten", function()
    local ann = driver.start(driver.url(address))
    ann:say "refresh"
    assert.equal("-8", ann:hears "failed"[2])
    ann:say("login", "ann2", "word", false)
    assert.is_false(look(ann))
    ann:say "refresh"
    next_token(ann)
    ann:say "clear"
    ann:say "refresh"
    assert.equal("-8", ann:hears "failed"[2])
    assert.is_false(look(ann))
    ann:say("login", "ann2", "", false)
    assert.equal("-2", ann:hears "failed"[2])
    ann:say("login", "ann2", "word", "a|b")
    assert.equal("-2", ann:hears "failed"[2])
    ann:quit()
  end)

  it("ends while a token is on its way", function()
    local way = proxy.new(address)
    way:drop()
    for _, command in ipairs { "close", "clear", "quit" } do
      local ann = driver.start(driver.url(way))
      ann:say("login", "ann3", "word", false)
      ann:say "connect"
      ann:becomes "connecting"
      if command ~= "quit" then ann:say(command) end
      ann:quit()
    end
    way:close()
  end)
end)


describe("the client in C that has logged in, and its server", function()
  it("tell of each new token on the open connection, before the old one ends", function()
    local app = driver.server { ["pubsub.ttl"] = "12s" }
    local ann = driver.start(driver.url(app.address))
    ann:say("login", "ann", "word", false)
    ann:opens()
    next_token(ann, next_token(ann))
    wait.pause(4) -- the old one has ended
    ann:say("subscribe", "news")
    ann:say("publish", "news", false, "1")
    ann:hears "message"
    assert.is_nil(ann.process.out:find("waiting", 1, true), ann.process.out)
    ann:quit()
    app:stop()
  end)

  it("are not kept busy by tokens that live for a moment", function()
    local app = driver.server { ["pubsub.ttl"] = "1s" }
    local ann = driver.start(driver.url(app.address))
    ann:say("login", "ann", "word", false)
    ann:opens()
    local began = time.monotonic()
    local function fetched()
      local count = 0
      for _, line in ipairs(app:log()) do
        if line.path == "/auth/token" then count = count + 1 end
      end
      return count
    end
    wait.till(function() return fetched() >= 5 end, "some tokens")
    wait.pause(1)
    local count, seconds = fetched(), time.monotonic() - began
    assert.is_true(count <= 5 + 10 * seconds, ("%d tokens in %.1f s"):format(count, seconds))
    ann:quit()
    app:stop()
  end)

  it("meet again with a new token after the old one has ended", function()
    local app = driver.server { ["pubsub.ttl"] = "2s" }
    local way = proxy.new(app.address)
    local ann = driver.start(driver.url(way), { delay = 50 })
    ann:say("login", "ann", "word", false)
    ann:opens()
    local token = next_token(ann)
    way:cut { refuse = true }
    ann:becomes "waiting"
    wait.till(function() return not look(ann) end, "the token to expire")
    way:mend()
    ann:becomes "open"
    assert.not_equal(token, next_token(ann))
    ann:quit()
    way:close()
    app:stop()
  end)

  it("meet when the server has come, if there was none", function()
    local app = driver.server()
    local way = proxy.new(app.address)
    way:cut { refuse = true }
    local ann = driver.start(driver.url(way), { delay = 50 })
    ann:say("login", "ann", "word", false)
    ann:say "connect"
    ann:hears "error"
    ann:becomes "waiting"
    way:mend()
    ann:becomes "open"
    ann:quit()
    way:close()
    app:stop()
  end)

  it("speak TLS about the password too", function()
    local cert, key = certificate.make()
    local app = driver.server { ["tls.cert"] = cert, ["tls.key"] = key }
    local url = ("wss://127.0.0.1:%d/ws"):format(app.port)
    local ann = driver.start(url, { ca = cert })
    ann:say("login", "ann", "word", false)
    ann:opens()
    assert.is_true(look(ann))
    ann:quit()
    local eve = driver.start(url)
    eve:say("login", "eve", "word", false)
    eve:say "connect"
    assert.equal("tls", eve:hears "error"[2])
    eve:quit()
    app:stop()
  end)
end)
