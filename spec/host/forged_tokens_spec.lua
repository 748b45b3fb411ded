-- Tokens that an attacker could try, through HTTP. Those with a right signature are made with the
-- server's own key, taken out of its store, so that what is refused is refused for its content.
local crypto = require "host.crypto"
local json = require "host.json"
local process = require "spec.support.process"
local server = require "spec.support.server"

local KEY_ROUTE = [[
return { path = "/key", GET = function()
  return require("web").text((require("host.store").get "rsa:private_pem"))
end }]]


local function run(script)
  local p = process.run("/bin/bash", { "-euo", "pipefail", "-c", script })
  assert.equal(0, p.code, p.err)
  return p.out
end


describe("a forged token", function()
  local app, folder, kid, jwk, public, now, header, claims

  setup(function()
    app = server.start { workers = 1, files = { ["lua/routes/key.lua"] = KEY_ROUTE },
      set = { ["password.ln"] = 10 } }
    folder = server.folder()
    app:post("/api/auth/token", { json = { user_id = "ann", password = "p" } })
    server.write(folder, { ["key.pem"] = app:get("/key").body })
    public = run("openssl pkey -in " .. folder .. "/key.pem -pubout")
    jwk = app:json("/api/auth/jwks").keys[1]
    kid, now = jwk.kid, os.time()
    header = ('{"alg":"RS256","typ":"JWT","kid":"%s"}'):format(kid)
    claims = ('{"sub":"ann","iss":"realtime-svg","iat":%d,"exp":%d}'):format(now, now + 600)
  end)
  teardown(function() app:stop() end)

  local function body_of(head, payload)
    return crypto.base64url_encode(head) .. "." .. crypto.base64url_encode(payload)
  end

  -- Signed by the server's own key, whatever it says.
  local function signed(head, payload)
    local text = body_of(head, payload)
    local base64 = run(("printf %%s %s | openssl dgst -sha256 -sign %s/key.pem | base64 -w0"):format(
      text, folder))
    return text .. "." .. crypto.base64url_encode(crypto.base64_decode(base64))
  end

  local function hmac(head, payload, key)
    local text = body_of(head, payload)
    return text .. "." .. crypto.base64url_encode(crypto.hmac("sha256", key, text))
  end

  local function status(token)
    local res = app:get("/api/user/ann/session", { token = token })
    if res.status == 401 then
      assert.truthy(res.headers["www-authenticate"]:find '^Bearer error="')
      assert.equal("invalid_token", res:json().code)
    end
    return res.status
  end

  it("is told from a right one, which this spec can make", function()
    assert.equal(200, status(signed(header, claims)))
  end)

  it("without an algorithm is refused, however it is spelt (J01)", function()
    for _, alg in ipairs { '"none"', '"None"', '"nOnE"', '""', "null", "0", "true", '["RS256"]', '"rs256"' } do
      local head = ('{"alg":%s,"kid":"%s"}'):format(alg, kid)
      assert.equal(401, status(body_of(head, claims) .. "."), alg)
      assert.equal(401, status(signed(head, claims)), alg)
    end
    assert.equal(401, status(signed(('{"kid":"%s"}'):format(kid), claims)))
  end)

  it("keyed with what everybody knows of the key is refused (J02)", function()
    local head = ('{"alg":"HS256","kid":"%s"}'):format(kid)
    local der = crypto.base64_decode((public:gsub("%-%-%-%-%-[^\n]*", ""):gsub("\n", "")))
    local known = { public, (public:gsub("\n$", "")), der, jwk.n, crypto.base64url_decode(jwk.n),
      json.encode(jwk), kid, "" }
    for i, key in ipairs(known) do assert.equal(401, status(hmac(head, claims, key)), tostring(i)) end
  end)

  it("that brings its key, or names another, is refused (J03, J04)", function()
    for _, more in ipairs {
      '"kid":"../../etc/passwd"', [["kid":"x' OR '1'='1"]], '"kid":"a\\u0000"', '"kid":7', '"kid":null',
      '"kid":["' .. kid .. '"]', '"kid":"http://127.0.0.1/key"', '"kid":"' .. ("k"):rep(5000) .. '"',
    } do
      assert.equal(401, status(signed('{"alg":"RS256",' .. more .. "}", claims)), more:sub(1, 60))
    end
    local own = folder .. "/own.pem"
    run("openssl genrsa -out " .. own .. " 2048 2>/dev/null")
    local text = body_of(('{"alg":"RS256","jwk":%s,"jku":"http://127.0.0.1:9/","x5u":"http://127.0.0.1:9/"}')
      :format(json.encode(jwk)), claims)
    local signature = run(("printf %%s %s | openssl dgst -sha256 -sign %s | base64 -w0"):format(text, own))
    assert.equal(401, status(text .. "." .. crypto.base64url_encode(crypto.base64_decode(signature))))
  end)

  it("whose signature is damaged is refused (J05, J06)", function()
    local good = signed(header, claims)
    local text, signature = good:match "^(.*)%.([^.]+)$"
    local raw = crypto.base64url_decode(signature)
    for i, bytes in ipairs { raw:sub(1, -2), raw .. "\0", "\0" .. raw, ("\0"):rep(256), raw:reverse(), "" } do
      assert.equal(401, status(text .. "." .. crypto.base64url_encode(bytes)), tostring(i))
    end
    for _, token in ipairs { good .. "=", good .. ".", "." .. good, good .. ".x", text, good:gsub("%.", "..") } do
      assert.equal(401, status(token), token)
    end
  end)

  it("with times that are none, or that do not hold, is refused (J07)", function()
    for _, times in ipairs {
      '"iat":1', '"exp":"%d"', '"exp":null', '"exp":-1', '"exp":0', '"exp":1e400', '"exp":true',
      '"exp":[%d]', '"exp":%d,"nbf":%d', '"exp":%d,"nbf":"1"', '"exp":-9223372036854775809',
    } do
      local payload = '{"sub":"ann","iss":"realtime-svg",' .. times:gsub("%%d", tostring(now + 600)) .. "}"
      assert.equal(401, status(signed(header, payload)), times)
    end
  end)

  it("of another issuer, for nobody, or for somebody else is refused (J08)", function()
    for _, who in ipairs {
      '"sub":"ann"', '"sub":"ann","iss":"realtime-svg2"', '"sub":"ann","iss":["realtime-svg"]',
      '"sub":"ann","iss":null', '"iss":"realtime-svg"', '"sub":["ann"],"iss":"realtime-svg"',
      '"sub":7,"iss":"realtime-svg"',
    } do
      local answer = status(signed(header, ('{%s,"exp":%d}'):format(who, now + 600)))
      assert.is_true(answer == 401 or answer == 403, who)
    end
    for _, sub in ipairs { "bob", "ANN", "ann ", "" } do
      local answer = status(signed(header, (claims:gsub('"ann"', '"' .. sub .. '"'))))
      assert.is_true(answer == 401 or answer == 403, sub)
    end
  end)

  it("with a header that asks for more is refused (J09)", function()
    for _, more in ipairs { '"crit":["x"],"x":1', '"crit":["b64"],"b64":false', '"b64":false', '"crit":[]',
      '"cty":"JWT"', '"typ":"JOSE+JSON"', '"typ":"logout+jwt"', '"typ":7' } do
      assert.equal(401, status(signed(('{"alg":"RS256","kid":"%s",%s}'):format(kid, more), claims)), more)
    end
  end)

  it("with a member twice, or that is no object, is refused (J10, J11)", function()
    assert.equal(401, status(signed(header, (claims:gsub("^{", '{"sub":"bob",')))))
    assert.equal(401, status(signed((header:gsub("^{", '{"alg":"none",')), claims)))
    for _, payload in ipairs { "[]", '"x"', "1", "null", "", "{", claims .. "x", "\239\187\191" .. claims,
      '{"sub":"\255"}', ("["):rep(3000), (claims:gsub("}$", ',"a":' .. ("["):rep(200) .. ("]"):rep(200) .. "}")) } do
      assert.equal(401, status(signed(header, payload)), payload:sub(1, 60))
    end
  end)

  it("of any size is refused without effort (J12)", function()
    for _, size in ipairs { 9000, 12000, 14000 } do
      assert.equal(401, status(("a"):rep(size)))
      assert.equal(401, status(body_of(header, (" "):rep(size // 2) .. claims) .. ".AAAA"))
    end
    for _, size in ipairs { 20000, 1 << 20 } do
      assert.equal(431, app:get("/api/user/ann/session", { token = ("a"):rep(size) }).status)
    end
    assert.equal(200, status(signed(header, claims)))
  end)
end)
