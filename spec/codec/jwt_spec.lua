-- host.jwt as a script sees it. What each forgery looks like byte by byte is in spec/c/jwt_spec.c and
-- jwt_claims_spec.c; here are the same rows (J01 to J13) through the module, its cache and its copies.
local crypto = require "host.crypto"
local json = require "host.json"
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local task = require "host.task"
local time = require "host.time"

local NOW = 1700000000
local ALGS = { "RS256", "PS256", "ES256", "EdDSA", "HS256" }
local secret = crypto.random(32)
local b64 = crypto.base64url_encode

local keys = {}
for _, alg in ipairs(ALGS) do
  keys[alg] = alg == "HS256" and jwk.import { kty = "oct", k = b64(secret), kid = "HS256" }
    or jwk.generate(alg, { kid = alg })
end


-- A token of whatever header and payload, signed by the secret.
local function forge(header, payload, key)
  if type(header) == "table" then header = json.encode(header) end
  if type(payload) == "table" then payload = json.encode(payload) end
  local text = b64(header) .. "." .. b64(payload)
  return text .. "." .. crypto.hmac("sha256", key or secret, text, "base64url")
end


local function claims(more)
  local all = { sub = "ann", exp = NOW + 60 }
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end


local function verify(token, set, options)
  options = options or {}
  options.now = options.now or NOW
  return jwt.verify(token, set, options)
end


local function refused(code, token, set, options)
  local got, message, why = verify(token, set, options)
  assert.is_nil(got)
  assert.is_string(message)
  assert.equal(code, why)
end


describe("host.jwt", function()
  local all, own = jwk.set(), {}
  for _, alg in ipairs(ALGS) do
    all:add(keys[alg])
    own[alg] = jwk.set { keys[alg] }
  end
  local hs = own.HS256

  it("signs and verifies with each algorithm", function()
    for _, alg in ipairs(ALGS) do
      local token = jwt.sign(claims { roles = { "a" } }, keys[alg])
      local got, header = verify(token, own[alg])
      assert.same(claims { roles = { "a" } }, got)
      assert.same({ alg = alg, typ = "JWT", kid = alg }, header)
      assert.same(got, (verify(token, all)))
      for _, other in ipairs(ALGS) do
        if other ~= alg then refused("unknown_key", token, own[other]) end
      end
    end
  end)

  it("takes claims as JSON, and gives numbers, lists and null back as they were", function()
    local text = '{"exp":1700000060,"big":9007199254740993,"float":1.0,"none":null,"list":[],"map":{}}'
    local token = jwt.sign(text, keys.HS256)
    for _ = 1, 2 do
      local got = verify(token, hs)
      assert.equal(9007199254740993, got.big)
      assert.equal("float", math.type(got.float))
      assert.equal(json.null, got.none)
      assert.equal("[]", json.encode(got.list))
      assert.equal("{}", json.encode(got.map))
    end
  end)

  it("J01: knows no alg none", function()
    local payload = b64(json.encode(claims()))
    for _, alg in ipairs { "none", "None", "NONE", "nOnE", "none ", "" } do
      local head = b64(json.encode { alg = alg })
      refused("malformed", head .. "." .. payload .. ".", all)
      refused("malformed", head .. "." .. payload, all)
      refused("malformed", forge({ alg = alg }, claims()), hs)
    end
    for _, odd in ipairs { "{}", '{"alg":null}', '{"alg":1}', '{"alg":["HS256"]}', "[]", "x", "" } do
      refused("malformed", forge(odd, claims()), hs)
    end
  end)

  it("J02: takes no public key for a secret", function()
    for _, alg in ipairs { "RS256", "PS256", "ES256", "EdDSA" } do
      local key = keys[alg]
      local members = key:jwk()
      local pem = key:public_pem()
      local der = crypto.base64_decode((pem:gsub("%-%-.-%-%-\n", ""):gsub("\n", "")))
      local number = members.n or members.x
      for _, guess in ipairs {
        pem, pem:sub(1, -2), der, json.encode(members), number, crypto.base64url_decode(number),
        key:kid(), "",
      } do
        refused("signature", forge({ alg = "HS256", kid = alg }, claims(), guess), all)
        refused("signature", forge({ alg = "HS256" }, claims(), guess), own[alg])
      end
    end
  end)

  it("J03: lets no token bring its own key", function()
    local mallory = crypto.random(32)
    for name, value in pairs {
      jwk = { kty = "oct", k = b64(mallory) },
      jku = "https://evil.example/jwks.json",
      x5u = "https://evil.example/cert.pem",
      x5c = { "MIIB" },
    } do
      refused("malformed", forge({ alg = "HS256", [name] = value }, claims(), mallory), hs)
      refused("malformed", forge({ alg = "HS256", [name] = value }, claims()), hs)
    end
    refused("signature", forge({ alg = "HS256", iss = "https://evil.example" }, claims(), mallory), hs)
  end)

  it("J04: takes a kid for a name and nothing else", function()
    for _, kid in ipairs {
      "../../../../dev/null", "' OR 1=1 --", "HS256\0", "https://evil.example", "", "hs256",
      ("k"):rep(255),
    } do
      refused("unknown_key", forge({ alg = "HS256", kid = kid }, claims()), hs)
    end
    for _, kid in ipairs { 1, true, { "HS256" }, { kid = "HS256" }, json.null, ("k"):rep(256) } do
      refused("malformed", forge({ alg = "HS256", kid = kid }, claims()), hs)
    end
    refused("malformed", forge({ alg = "HS256", kid = ("k"):rep(20480) }, claims()), hs)
    assert.truthy(verify(forge({ alg = "HS256", kid = "HS256" }, claims()), hs))
    refused("unknown_key", forge({ alg = "HS256" }, claims()), all)
  end)

  it("J05: refuses a damaged signature of each algorithm", function()
    for _, alg in ipairs(ALGS) do
      local text, signature = jwt.sign(claims(), keys[alg]):match "^(.+)%.(.-)$"
      local bytes = crypto.base64url_decode(signature)
      local function with(odd) return text .. "." .. b64(odd) end
      for _, odd in ipairs {
        "", bytes:sub(1, -2), bytes:sub(2), bytes .. "\0", "\0" .. bytes, bytes .. bytes,
        ("\0"):rep(#bytes), ("\xff"):rep(#bytes),
        string.char(bytes:byte(1) ~ 1) .. bytes:sub(2),
        bytes:sub(1, -2) .. string.char(bytes:byte(-1) ~ 1),
      } do
        refused("signature", with(odd), own[alg])
      end
      assert.truthy(verify(with(bytes), own[alg]))
    end
  end)

  it("J06: reads base64url in one spelling only", function()
    local token = forge({ alg = "HS256" }, claims())
    for _, tail in ipairs { "=", "==", "\n", " ", ".", "%3D", "\0" } do
      refused("malformed", token .. tail, hs)
    end
    for at = 1, #token, 9 do
      for _, junk in ipairs { "+", "/", "=", " ", "\n", "\0", "\xc3\xa9" } do
        refused("malformed", token:sub(1, at - 1) .. junk .. token:sub(at + 1), hs)
      end
    end
    local last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    local value = last:find(token:sub(-1), 1, true) - 1
    for bit = 1, 3 do
      local twin = (value ~ bit) + 1
      refused("malformed", token:sub(1, -2) .. last:sub(twin, twin), hs)
    end
  end)

  it("J07: wants times that are finite numbers in range", function()
    for _, name in ipairs { "exp", "nbf", "iat" } do
      for _, odd in ipairs {
        '"1700000060"', "null", "true", "[]", "{}", "-1", "1e400", "253402300800", "NaN", "01", "1.",
      } do
        local payload = ('{"%s":%s}'):format(name, odd)
        refused("malformed", forge({ alg = "HS256" }, payload), hs, { exp_optional = true })
        assert.has_error(function() jwt.sign(payload, keys.HS256) end)
      end
    end
    refused("malformed", forge({ alg = "HS256" }, "{}"), hs)
    assert.truthy(verify(forge({ alg = "HS256" }, "{}"), hs, { exp_optional = true }))
    refused("expired", forge({ alg = "HS256" }, { exp = NOW }), hs)
    refused("expired", forge({ alg = "HS256" }, { exp = 0 }), hs)
    assert.truthy(verify(forge({ alg = "HS256" }, { exp = NOW + 0.5 }), hs))
    refused("not_yet", forge({ alg = "HS256" }, { exp = NOW + 60, nbf = NOW + 1 }), hs)
    assert.truthy(verify(forge({ alg = "HS256" }, { exp = NOW + 60, nbf = NOW, iat = NOW + 9 }), hs))
  end)

  it("stretches times by the leeway, at most 30 s", function()
    local late, early = forge({ alg = "HS256" }, { exp = NOW - 29 }),
      forge({ alg = "HS256" }, { exp = NOW + 60, nbf = NOW + 30 })
    assert.truthy(verify(late, hs, { leeway = 30 }))
    refused("expired", late, hs, { leeway = 29 })
    refused("expired", late, hs)
    assert.truthy(verify(early, hs, { leeway = 30 }))
    refused("not_yet", early, hs, { leeway = 29.5 })
    for _, odd in ipairs { 31, -1, 0 / 0, math.huge, "5" } do
      assert.has_error(function() verify(late, hs, { leeway = odd }) end)
    end
  end)

  it("J08: wants exactly the issuer and audience that are asked for", function()
    local function token(more) return forge({ alg = "HS256" }, claims(more)) end
    local issuer = { issuer = "realtime-svg" }
    assert.truthy(verify(token { iss = "realtime-svg" }, hs, issuer))
    for _, iss in ipairs { "realtime-svg2", "realtime-sv", "Realtime-svg", "" } do
      refused("issuer", token { iss = iss }, hs, issuer)
    end
    refused("issuer", token(), hs, issuer)
    refused("malformed", token { iss = { "realtime-svg" } }, hs, issuer)
    refused("malformed", token { iss = 1 }, hs)
    assert.truthy(verify(token { aud = "app" }, hs, { audience = "app" }))
    assert.truthy(verify(token { aud = { "x", "app" } }, hs, { audience = { "other", "app" } }))
    for _, aud in ipairs { "ap", "application", "APP", { "ap", "pp" } } do
      refused("audience", token { aud = aud }, hs, { audience = "app" })
    end
    refused("audience", token(), hs, { audience = "app" })
    refused("audience", token { aud = "app" }, hs)
    refused("malformed", token { aud = { "app", 1 } }, hs, { audience = "app" })
    refused("malformed", token { aud = json.empty_array }, hs, { audience = "app" })
  end)

  it("J09: refuses what would change the meaning of a token", function()
    for name, value in pairs {
      crit = { "exp" }, b64 = false, cty = "JWT", zip = "DEF", enc = "A128GCM", typ = "at+jwt",
    } do
      refused("malformed", forge({ alg = "HS256", [name] = value }, claims()), hs)
    end
    assert.truthy(verify(forge({ alg = "HS256", typ = "jwt", x5t = "a", other = {} }, claims()), hs))
  end)

  it("keeps kinds of tokens apart by typ", function()
    local refresh = jwt.sign(claims(), keys.HS256, { typ = "refresh+jwt" })
    local access = jwt.sign(claims(), keys.HS256)
    assert.truthy(verify(refresh, hs, { typ = "refresh+jwt" }))
    refused("malformed", refresh, hs)
    refused("malformed", access, hs, { typ = "refresh+jwt" })
    assert.equal("refresh+jwt", select(2, verify(refresh, hs, { typ = "refresh+jwt" })).typ)
  end)

  it("J10: refuses duplicate members", function()
    refused("malformed", forge('{"alg":"HS256","alg":"HS256"}', claims()), hs)
    refused("malformed", forge('{"alg":"none","\\u0061lg":"HS256"}', claims()), hs)
    refused("malformed", forge({ alg = "HS256" }, '{"exp":1700000060,"exp":1800000000}'), hs)
    refused("malformed", forge({ alg = "HS256" }, '{"exp":1700000060,"a":{"b":1,"b":2}}'), hs)
  end)

  it("J11: refuses a payload that is no sound object", function()
    for _, payload in ipairs {
      "", "[]", "null", "1", '"a"', "true", "{", '{"exp":1700000060', '{"exp":1700000060}}',
      '{"exp":1700000060,"a":"\xff"}', '{"exp":1700000060,"a":"\xed\xa0\x80"}',
      '{"exp":1700000060,"a":"\\ud800"}', '{"exp":1700000060,"a":"\n"}', '{"exp":1700000060,}',
      '{"exp":1700000060,"a":' .. ("["):rep(2000) .. ("]"):rep(2000) .. "}",
      '{"exp":1700000060,"a":1e400}',
    } do
      refused("malformed", forge({ alg = "HS256" }, payload), hs, { exp_optional = true })
    end
  end)

  it("J12: refuses tokens over 8 KiB before reading them, and does not make them", function()
    for _, n in ipairs { 6200, 9000, 100000, 1048576 } do
      local payload = claims { fill = ("x"):rep(n) }
      refused("malformed", forge({ alg = "HS256" }, payload), hs)
      local token, message, code = jwt.sign(payload, keys.HS256)
      assert.is_nil(token)
      assert.is_string(message)
      assert.equal("too_large", code)
    end
    assert.truthy(verify(jwt.sign(claims { fill = ("x"):rep(6000) }, keys.HS256), hs))
    for _, odd in ipairs { "", ".", "..", "...", "a.b.c", "a.b.c.d.e" } do refused("malformed", odd, hs) end
  end)

  it("J13: accepts a rotated key until it leaves the set", function()
    local old, new = jwk.generate("EdDSA"), jwk.generate("EdDSA")
    local set = jwk.set { old }
    local token = jwt.sign(claims(), old)
    assert.truthy(verify(token, set))
    set:add(new)
    assert.truthy(verify(token, set))
    assert.truthy(verify(token, set))
    assert.is_true(set:remove(old:kid()))
    refused("unknown_key", token, set)
    assert.truthy(verify(jwt.sign(claims(), new), set))
  end)

  describe("the cache of verified tokens", function()
    local function hits(fn)
      local before = jwt.stats().hits
      fn()
      return jwt.stats().hits - before
    end

    it("answers a repeated token, also for another set of the same keys", function()
      local token = jwt.sign(claims { jti = "1" }, keys.ES256)
      assert.equal(0, hits(function() assert.truthy(verify(token, all)) end))
      assert.equal(1, hits(function() assert.truthy(verify(token, all)) end))
      assert.equal(0, hits(function() assert.truthy(verify(token, own.ES256)) end))
      local same = jwk.set { keys.ES256 }
      assert.equal(1, hits(function() assert.truthy(verify(token, same)) end))
    end)

    it("checks the claims each time", function()
      local token = jwt.sign(claims { jti = "2", iss = "me", aud = "app" }, keys.ES256)
      local good = { issuer = "me", audience = "app" }
      for _ = 1, 2 do
        assert.truthy(verify(token, all, good))
        refused("issuer", token, all, { issuer = "you", audience = "app" })
        refused("audience", token, all, { issuer = "me" })
        refused("malformed", token, all, { issuer = "me", audience = "app", typ = "other" })
        refused("expired", token, all, { issuer = "me", audience = "app", now = NOW + 60 })
      end
    end)

    it("forgets what has expired", function()
      local token = jwt.sign(claims { jti = "3" }, keys.ES256)
      verify(token, all)
      local before = jwt.stats().entries
      refused("expired", token, all, { now = NOW + 61 })
      assert.equal(before - 1, jwt.stats().entries)
    end)

    it("gives each caller tables of its own", function()
      local token = jwt.sign(claims { jti = "4", roles = { "reader", { deep = true } } }, keys.ES256)
      local first, header = verify(token, all)
      first.sub, first.roles[1], first.roles[2].deep, header.alg = "mallory", "admin", false, "none"
      for _ = 1, 2 do
        local next_one, next_header = verify(token, all)
        assert.same(claims { jti = "4", roles = { "reader", { deep = true } } }, next_one)
        assert.equal("ES256", next_header.alg)
        next_one.roles[2].deep = false
      end
    end)

    it("does not remember what it refused", function()
      local before = jwt.stats().entries
      refused("signature", forge({ alg = "HS256" }, claims(), "x"), hs)
      refused("expired", forge({ alg = "HS256" }, { exp = 1 }), hs)
      assert.equal(before, jwt.stats().entries)
    end)

    it("stays within its bound", function()
      local stats = jwt.stats()
      local before = stats.evictions
      for i = 1, stats.limit + 50 do verify(forge({ alg = "HS256" }, { exp = NOW + 60, n = i }), hs) end
      stats = jwt.stats()
      assert.equal(stats.limit, stats.entries)
      assert.truthy(stats.evictions >= before + 50)
      local last = forge({ alg = "HS256" }, { exp = NOW + 60, n = stats.limit + 50 })
      assert.equal(stats.limit + 50, verify(last, hs).n)
      assert.equal(1, verify(forge({ alg = "HS256" }, { exp = NOW + 60, n = 1 }), hs).n)
    end)
  end)

  it("raises for a caller's mistakes", function()
    local token = jwt.sign(claims(), keys.HS256)
    local public = jwk.from_pem(keys.ES256:public_pem())
    for what, wrong in pairs {
      ["an unknown option"] = function() verify(token, hs, { audence = "app" }) end,
      ["an empty issuer"] = function() verify(token, hs, { issuer = "" }) end,
      ["an issuer that is no string"] = function() verify(token, hs, { issuer = 1 }) end,
      ["an empty list of audiences"] = function() verify(token, hs, { audience = {} }) end,
      ["a key in place of a set"] = function() verify(token, keys.HS256) end,
      ["no set"] = function() verify(token) end,
      ["no token"] = function() verify(nil, hs) end,
      ["a public key that signs"] = function() jwt.sign(claims(), public) end,
      ["claims that are a list"] = function() jwt.sign({ 1, 2 }, keys.HS256) end,
      ["claims that are no JSON"] = function() jwt.sign("{", keys.HS256) end,
      ["a header that names alg"] = function() jwt.sign(claims(), keys.HS256, { alg = "none" }) end,
    } do
      assert.has_error(wrong, nil, what)
    end
  end)

  it("signs many at once, each with its own claims", function()
    local tokens, count = {}, 0
    for i = 1, 40 do
      task.spawn(function()
        tokens[i] = jwt.sign(claims { n = i }, keys.RS256)
        count = count + 1
      end)
    end
    local deadline = time.monotonic() + 20
    while count < 40 and time.monotonic() < deadline do time.sleep(0.005) end
    for i = 1, 40 do assert.equal(i, verify(tokens[i], own.RS256).n) end
  end)
end)
