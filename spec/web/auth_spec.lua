local App = require "spec.support.app"


describe("the token call", function()
  local app

  before_each(function()
    app = App.new()
  end)

  local function login(body)
    return app:post("/api/auth/token", body)
  end

  it("claims a new user_id and gives a token", function()
    local res = login { user_id = "ann", password = "pw" }
    assert.equal(200, res.status)
    assert.truthy(res.json.token)
    assert.equal("no-store", res.headers["Cache-Control"])
    assert.equal("hash:pw", app.store.rows["user:ann:password"].value)
  end)

  it("refuses another password afterwards with 401", function()
    login { user_id = "ann", password = "pw" }
    local res = login { user_id = "ann", password = "other" }
    assert.equal(401, res.status)
    assert.equal("wrong_password", res.json.code)
    assert.truthy(res.headers["WWW-Authenticate"]:find '^Bearer error="')
    assert.equal(200, login({ user_id = "ann", password = "pw" }).status)
  end)

  it("hashes a password again when the settings ask for another cost", function()
    app.store.set("user:ann:password", "old:pw")
    assert.equal(401, login({ user_id = "ann", password = "other" }).status)
    assert.equal("old:pw", app.store.rows["user:ann:password"].value)
    assert.equal(200, login({ user_id = "ann", password = "pw" }).status)
    assert.equal("hash:pw", app.store.rows["user:ann:password"].value)
  end)

  it("lets one win when two claim a name at once, and checks the other", function()
    local function race(password)
      app = App.new()
      local once = true
      app.store.before = function(operation, key)
        if operation == "add" and key == "user:ann:password" and once then
          once = false
          app.store.set(key, "hash:first")
        end
      end
      return login { user_id = "ann", password = password }
    end
    assert.equal(401, race("second").status)
    assert.equal(200, race("first").status)
  end)

  it("gives tokens an hour, or ttl_seconds", function()
    local now = app.world.now
    local function expires(ttl)
      local res = login { user_id = "ann", password = "pw", ttl_seconds = ttl }
      return tonumber(res.json.token:match "%d+$") - now
    end
    assert.equal(3600, expires(nil))
    assert.equal(1, expires(1))
    assert.equal(30 * 86400, expires(30 * 86400))
  end)

  it("refuses a ttl_seconds out of bounds", function()
    for _, ttl in ipairs { 0, -1, 30 * 86400 + 1, 1.5, "60", 1e300 } do
      local res = login { user_id = "ann", password = "pw", ttl_seconds = ttl }
      assert.equal(400, res.status)
      assert.equal("ttl_seconds", res.json.field)
    end
    assert.is_nil(app.store.rows["user:ann:password"])
  end)

  it("refuses odd passwords", function()
    for _, password in ipairs { "", ("x"):rep(1025), "a\0b", 7, true } do
      local res = login { user_id = "ann", password = password }
      assert.equal(400, res.status)
      assert.equal("password", res.json.field)
    end
    assert.equal(200, login({ user_id = "ann", password = ("x"):rep(1024) }).status)
    assert.equal(200, login({ user_id = "bob", password = "pä$$ \u{1F600}" }).status)
  end)

  it("refuses odd names and bodies with 400, never with a trace", function()
    for _, body in ipairs { { user_id = "", password = "x" }, { user_id = "a:b", password = "x" },
      { user_id = {}, password = "x" }, { password = "x" }, { user_id = "a" }, "[]", "null", "{", "7",
      { user_id = "a", password = "x", admin = true } } do
      local res = login(body)
      assert.equal(400, res.status)
      assert.is_nil(res.body:find(".lua", 1, true))
    end
  end)

  it("answers 503 with Retry-After when too many passwords wait", function()
    package.loaded["host.crypto"].password_hash = function() return nil, "64 are waiting", "busy" end
    local res = login { user_id = "ann", password = "pw" }
    assert.equal(503, res.status)
    assert.equal("busy", res.json.code)
    assert.equal("1", res.headers["Retry-After"])
  end)

  it("answers 503 while the store is away", function()
    app.store.before = function() return "away", "unavailable" end
    assert.equal(503, login({ user_id = "ann", password = "pw" }).status)
  end)
end)


describe("the signing keys", function()
  local app

  before_each(function()
    app = App.new()
  end)

  it("are made once, stored under their names and then kept in memory", function()
    app:login "ann"
    assert.equal("private k1", app.store.rows["rsa:private_pem"].value)
    assert.equal("public k1", app.store.rows["rsa:public_pem"].value)
    local reads = 0
    app.store.before = function(_, key)
      if key:find "^rsa:" then reads = reads + 1 end
    end
    for _ = 1, 5 do app:get "/api/auth/jwks" end
    assert.equal(0, reads)
    assert.equal(1, app.world.jwk.made)
  end)

  it("are published under both addresses", function()
    for _, path in ipairs { "/.well-known/jwks.json", "/api/auth/jwks" } do
      local res = app:get(path)
      assert.equal(200, res.status)
      assert.equal("application/json", res.type)
      assert.equal('{"keys":["kidk1"]}', res.body)
    end
  end)

  it("are those of the node that was faster", function()
    app.world.on_generate = function() app.store.add("rsa:private_pem", "private other") end
    assert.equal('{"keys":["kidother"]}', app:get("/api/auth/jwks").body)
    assert.equal("private other", app.store.rows["rsa:private_pem"].value)
    assert.equal("public other", app.store.rows["rsa:public_pem"].value)
  end)

  it("are rotated: the new one signs, the old one verifies until its last token has expired", function()
    local ann = app:login "ann"
    local keys = require "auth.keys"
    assert.is_true(keys.rotate())
    assert.equal('{"keys":["kidk2","kidk1"]}', app:get("/api/auth/jwks").body)
    assert.equal(200, app:get("/api/user/ann/session", ann).status)
    assert.truthy(app:login("bob").Authorization:find("kidk2", 1, true))
    app.world.now = app.world.now + 30 * 86400 + 200
    assert.equal('{"keys":["kidk2"]}', app:get("/api/auth/jwks").body)
  end)

  it("are learnt anew when a token names an unknown one, but not for every such token", function()
    app:login "ann"
    app.store.set("rsa:private_pem", "private k7")
    app.world.now = app.world.now + 3
    local token = { Authorization = "Bearer kidk7.ann.realtime-svg.9999999999" }
    assert.equal(200, app:get("/api/user/ann/session", token).status)
    local reads = 0
    app.store.before = function() reads = reads + 1 end
    for _ = 1, 5 do
      local forged = { Authorization = "Bearer forged.ann.realtime-svg.9999999999" }
      assert.equal(401, app:get("/api/user/ann/session", forged).status)
    end
    assert.equal(0, reads)
  end)

  it("are read again when another node has rotated", function()
    app:login "ann"
    app.store.set("rsa:private_pem", "private k9")
    app.hub.publish_local("rsa:rotation", "kidk9", { version = 5 })
    assert.equal('{"keys":["kidk9"]}', app:get("/api/auth/jwks").body)
  end)

  it("stay in use while the store is away", function()
    local ann = app:login "ann"
    app.store.before = function(_, key)
      if key:find "^rsa:" then return "away", "unavailable" end
    end
    app.world.now = app.world.now + 120
    assert.equal(200, app:get("/api/user/ann/session", ann).status)
    assert.equal('{"keys":["kidk1"]}', app:get("/api/auth/jwks").body)
  end)

  it("are 503 when the store was never there", function()
    app.store.before = function() return "away", "unavailable" end
    assert.equal(503, app:get("/api/auth/jwks").status)
  end)

  it("are rotated when the setting says that it is time, by one node of two", function()
    app:login "ann"
    local keys = require "auth.keys"
    keys.rotate_if_due()
    assert.equal("private k1", app.store.rows["rsa:private_pem"].value)
    app.world.now = app.world.now + 91 * 86400
    keys.rotate_if_due()
    assert.equal("private k2", app.store.rows["rsa:private_pem"].value)
    keys.rotate_if_due()
    assert.equal("private k2", app.store.rows["rsa:private_pem"].value)
    local once = true
    app.store.before = function(operation, key)
      if operation == "cas" and key == "rsa:private_pem" and once then
        once = false
        app.store.set(key, "private other")
      end
    end
    assert.is_false(keys.rotate())
    assert.equal("private other", app.store.rows["rsa:private_pem"].value)
  end)
end)
