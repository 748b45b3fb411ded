-- host.jwk as a script sees it.
local crypto = require "host.crypto"
local app_file = require "host.file"
local json = require "host.json"
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local task = require "host.task"
local time = require "host.time"

local EXP = 253402300799
local PRIVATE = { "d", "p", "q", "dp", "dq", "qi", "k", "oth" }


local function fails(code, key, message, why)
  assert.is_nil(key)
  assert.is_string(message)
  assert.equal(code, why)
end


local function works(private, public)
  local token = assert(jwt.sign({ exp = EXP, sub = "ann" }, private))
  return (jwt.verify(token, jwk.set { public }) or {}).sub == "ann"
end


describe("host.jwk", function()
  local secret = crypto.base64url_encode(crypto.random(32))

  it("makes a key of each algorithm, named by its thumbprint or as told", function()
    for _, alg in ipairs { "RS256", "PS256", "ES256", "EdDSA", "HS256" } do
      local key = jwk.generate(alg)
      assert.equal(alg, key:alg())
      assert.equal(43, #key:kid())
      assert.is_true(key:can_sign())
      assert.equal(("key %s %s"):format(alg, key:kid()), tostring(key))
      assert.equal("mine", jwk.generate(alg, { kid = "mine" }):kid())
    end
    assert.truthy(#jwk.generate("RS256", { bits = 3072 }):jwk().n > 500)
    for _, wrong in ipairs {
      { "none" }, { "RS512" }, { "rs256" }, { "RS256", { bits = 1024 } }, { "RS256", { bits = 9000 } },
      { "ES256", { kid = ("k"):rep(256) } },
    } do
      assert.has_error(function() jwk.generate(wrong[1], wrong[2]) end)
    end
  end)

  it("keeps a key through PEM", function()
    for _, alg in ipairs { "RS256", "PS256", "ES256", "EdDSA" } do
      local key = jwk.generate(alg)
      local again = jwk.from_pem(key:pem(), { alg = alg })
      local public = jwk.from_pem(key:public_pem(), { alg = alg })
      assert.equal(key:kid(), again:kid())
      assert.equal(key:kid(), public:kid())
      assert.equal(key:pem(), again:pem())
      assert.is_false(public:can_sign())
      fails("no_form", public:pem())
      assert.is_true(works(again, public))
    end
    fails("bad_key", jwk.from_pem "no key")
    fails("bad_key", jwk.from_pem(jwk.generate("ES256"):pem(), { alg = "RS256" }))
    fails("bad_key", jwk.from_pem(("x"):rep(20000)))
    assert.has_error(function() jwk.from_pem("x", { alg = "none" }) end)
  end)

  it("shows public members only", function()
    for _, alg in ipairs { "RS256", "ES256", "EdDSA" } do
      local key = jwk.generate(alg)
      local shown = key:jwk()
      for _, name in ipairs(PRIVATE) do assert.is_nil(shown[name]) end
      assert.equal(alg, shown.alg)
      assert.equal("sig", shown.use)
      assert.equal(key:kid(), shown.kid)
      assert.is_true(works(key, jwk.import(shown)))
      assert.is_true(works(key, jwk.import(json.encode(shown))))
    end
    local key = jwk.import { kty = "oct", k = secret }
    fails("no_form", key:jwk())
    fails("no_form", key:pem())
    fails("no_form", key:public_pem())
    assert.equal(secret, crypto.base64url_encode(key:secret()))
    fails("no_form", jwk.generate("ES256"):secret())
  end)

  it("J15: serves sets without private members and without secrets", function()
    local set = jwk.set { jwk.generate "RS256", jwk.generate "ES256", jwk.import { kty = "oct", k = secret } }
    local served = json.decode(set:json())
    assert.equal(2, #served.keys)
    for _, key in ipairs(served.keys) do
      for _, name in ipairs(PRIVATE) do assert.is_nil(key[name]) end
    end
    assert.equal("{\"keys\":[]}", jwk.set():json())
  end)

  it("reads a foreign set, without its secrets, and counts what it skips", function()
    local good = jwk.generate "EdDSA"
    local set, skipped = jwk.import {
      keys = {
        good:jwk(), good:jwk(), { kty = "oct", k = secret }, { kty = "EC", crv = "P-521" }, { kty = "?" },
      },
    }
    assert.equal(1, #set)
    assert.equal(4, skipped)
    assert.equal(good:kid(), set:keys()[1]:kid())
    assert.is_true(jwt.verify(jwt.sign({ exp = EXP }, good), set) ~= nil)
    fails("bad_key", jwk.import { keys = "x" })
    fails("bad_key", jwk.import '{"keys":[}')
    fails("bad_key", jwk.import '{"keys":[]}x')
    fails("bad_key", jwk.import("{\"keys\":[]" .. (" "):rep(300000) .. "}"))
  end)

  it("refuses keys that can't be trusted", function()
    fails("bad_key", jwk.import { kty = "oct", k = "c2hvcnQ" })
    fails("bad_key", jwk.import { kty = "oct", k = secret .. "=" })
    fails("bad_key", jwk.import { kty = "oct", k = secret, alg = "none" })
    fails("bad_key", jwk.import { kty = "oct", k = secret, use = "enc" })
    fails("bad_key", jwk.import { kty = "oct", k = secret, alg = "RS256" })
    fails("bad_key", jwk.import { kty = "RSA", n = "AQAB", e = "AQAB" })
    fails("bad_key", jwk.import "")
    fails("bad_key", jwk.import "[]")
    assert.has_error(function() jwk.import() end)
  end)

  it("keeps a set in order, each kid once", function()
    local a, b = jwk.generate("ES256", { kid = "a" }), jwk.generate("ES256", { kid = "b" })
    local set = jwk.set()
    assert.is_true(set:add(a))
    assert.is_true(set:add(b))
    fails("exists", set:add(a))
    assert.equal(2, #set)
    assert.equal("b", set:keys()[2]:kid())
    assert.equal("a", set:find("a"):kid())
    assert.is_nil(set:find("c"))
    assert.is_true(set:remove("a"))
    assert.is_false(set:remove("a"))
    assert.equal(1, #set)
    assert.has_error(function() jwk.set { a, a } end)
    assert.has_error(function() jwk.set { "a" } end)
    assert.has_error(function() set:add("a") end)
    for i = #set + 1, 100 do set:add(jwk.generate("EdDSA", { kid = tostring(i) })) end
    fails("full", set:add(a))
  end)

  it("hides its boxes from scripts", function()
    assert.is_false(getmetatable(jwk.generate "ES256"))
    assert.is_false(getmetatable(jwk.set()))
  end)
end)


-- A peer of another make, where one is installed.
describe("tokens between lunacast and Node", function()
  local function node(script)
    local name = os.tmpname()
    local file = assert(io.open(name, "w"))
    file:write(script)
    file:close()
    local pipe = assert(io.popen(("node %s 2>&1"):format(name)))
    local out = pipe:read "a"
    pipe:close()
    os.remove(name)
    return out
  end
  local has_node = node 'process.stdout.write("yes")' == "yes"
  local spec = has_node and it or pending
  local PARAMETERS = {
    RS256 = '"sha256", { key }',
    PS256 = '"sha256", { key, padding: c.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }',
    ES256 = '"sha256", { key, dsaEncoding: "ieee-p1363" }',
    EdDSA = "null, { key }",
  }

  for alg, parameters in pairs(PARAMETERS) do
    spec("verify in both directions: " .. alg, function()
      local key = jwk.generate(alg)
      local token = jwt.sign({ exp = EXP, sub = "ann" }, key)
      local text, signature = token:match "^(.+)%.(.-)$"
      assert.equal("true", node(([[
        const c = require("crypto")
        const key = c.createPublicKey({ key: %s, format: "jwk" })
        const sig = Buffer.from("%s", "base64url")
        const args = [%s]
        process.stdout.write(String(c.verify(args[0], Buffer.from("%s"), args[1], sig)))
      ]]):format(json.encode(key:jwk()), signature, parameters, text)))
      local theirs = node(([[
        const c = require("crypto")
        const key = c.createPrivateKey(`%s`)
        const b64 = (v) => Buffer.from(JSON.stringify(v)).toString("base64url")
        const text = b64({ alg: "%s", typ: "JWT", kid: "%s" }) + "." + b64({ sub: "bob", exp: %d })
        const args = [%s]
        process.stdout.write(text + "." + c.sign(args[0], Buffer.from(text), args[1]).toString("base64url"))
      ]]):format(key:pem(), alg, key:kid(), EXP, parameters))
      assert.equal("bob", (jwt.verify(theirs, jwk.set { key })).sub)
    end)
  end
end)


describe("an RSA key that nobody waits for any more", function()
  it("is given up, and the thread pool is free for others", function()
    local ids = {}
    for i = 1, 8 do ids[i] = task.spawn(function() jwk.generate("RS256", { bits = 8192 }) end) end
    time.sleep(0.2)
    local before = os.clock()
    for _, id in ipairs(ids) do task.cancel(id) end
    app_file.stat "nothing"
    assert.is_true(os.clock() - before < 3) -- of CPU time, in all threads; each key takes more
  end)
end)
