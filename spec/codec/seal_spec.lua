-- Key agreement and sealing as a script sees them.
local crypto = require "host.crypto"
local json = require "host.json"

local CURVES = { "P-256", "X25519" }
local SIZES = { ["P-256"] = { raw = 65, spki = 91 }, X25519 = { raw = 32, spki = 44 } }


-- Both ends of a channel.
local function channels(secret_a, secret_b)
  return secret_a:channel { salt = "s", send = "a", receive = "b" },
    (secret_b or secret_a):channel { salt = "s", send = "b", receive = "a" }
end


local function some_secret()
  return crypto.secret(("x"):rep(32))
end


describe("host.crypto's key pairs", function()
  for _, curve in ipairs(CURVES) do
    it("agree by each form of public key, on " .. curve, function()
      local a, b = crypto.key_pair(curve), crypto.key_pair(curve)
      assert.equal(curve, a:curve())
      local theirs = assert(b:agree(a:public()))
      for _, form in ipairs { "raw", "spki", "jwk" } do
        local mine, raw = a:agree(b:public(form))
        assert.equal(b:public(), raw)
        local one, other = channels(mine, theirs)
        assert.equal("hi", other:open(one:seal "hi"))
      end
      for form, size in pairs(SIZES[curve]) do assert.equal(size, #a:public(form)) end
      local jwk = a:public "jwk"
      assert.equal(curve, jwk.crv)
      assert.equal(curve == "P-256" and "EC" or "OKP", jwk.kty)
      assert.equal(32, #crypto.base64url_decode(jwk.x))
      assert.is_nil(jwk.d)
    end)

    it("refuse what is no public key, on " .. curve, function()
      local pair, other = crypto.key_pair(curve), crypto.key_pair(curve)
      local function changed(name, value)
        local key = other:public "jwk"
        key[name] = value
        return key
      end
      local refused = { "", "x", ("\0"):rep(32), ("\0"):rep(65), "\4" .. ("\1"):rep(64), {},
        other:public() .. "\0", other:public "spki" .. "\0", other:public():sub(1, -2),
        changed("d", "AAAA"), changed("crv", "P-384"), changed("kty", "RSA"), changed("x", "AAAA"),
        changed("x", 7), changed("x", other:public "jwk".x .. "=") }
      for i, key in ipairs(refused) do
        local secret, message, code = pair:agree(key)
        assert.is_nil(secret, "key " .. i)
        assert.equal("string", type(message))
        assert.equal("bad_key", code)
      end
      assert.has_error(function() pair:agree(nil) end)
    end)
  end

  it("know two curves", function()
    for _, name in ipairs { "P-384", "", "p-256" } do
      assert.has_error(function() crypto.key_pair(name) end, nil)
    end
    local p256, x25519 = crypto.key_pair "P-256", crypto.key_pair "X25519"
    assert.equal("bad_key", select(3, p256:agree(x25519:public "spki")))
    assert.equal("bad_key", select(3, x25519:agree(p256:public "jwk")))
  end)

  it("show nothing secret", function()
    local pair = crypto.key_pair "P-256"
    local secret = pair:agree(crypto.key_pair("P-256"):public())
    for _, box in ipairs { pair, secret, (channels(secret)) } do
      assert.matches("^host.crypto.%a+: 0x", tostring(box))
      assert.is_false(getmetatable(box))
    end
    assert.has_error(function() pair:public "pem" end)
  end)
end)


describe("host.crypto's secrets", function()
  it("are derived as HKDF derives", function()
    local okm = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    local ikm = ("\x0b"):rep(22)
    local salt, info = crypto.hex_decode "000102030405060708090a0b0c", crypto.hex_decode "f0f1f2f3f4f5f6f7f8f9"
    assert.equal(okm, crypto.hex_encode(crypto.hkdf(ikm, salt, info, 42)))
    for _, size in ipairs { 0, -1, 8161 } do
      assert.has_error(function() crypto.hkdf(ikm, "", "", size) end)
    end
  end)

  it("derived with the same words are the same, with others not", function()
    local one = channels(some_secret():derive("purpose", { salt = "s" }))
    local _, same = channels(some_secret():derive("purpose", { salt = "s" }))
    assert.equal("x", same:open(one:seal "x"))
    for _, words in ipairs { { "Purpose", { salt = "s" } }, { "purpose" }, { "purpose", { salt = "t" } },
      { "purpose", { salt = "s", size = 33 } } } do
      local other = select(2, channels(some_secret():derive(table.unpack(words))))
      assert.equal("not_opened", select(3, other:open(one:seal "x")))
    end
  end)

  it("have 16 to 1024 bytes", function()
    for _, n in ipairs { 16, 1024 } do assert.truthy(crypto.secret(("x"):rep(n))) end
    for _, n in ipairs { 0, 15, 1025 } do
      assert.has_error(function() crypto.secret(("x"):rep(n)) end)
    end
  end)
end)


describe("host.crypto's channels", function()
  it("count, and carry any bytes", function()
    local a, b = channels(some_secret())
    for n, text in ipairs { "", "a\0b", ("x"):rep(100000), "é" } do
      local number, sealed = a:seal(text, "place")
      assert.equal(n, number)
      assert.equal(#text + 16, #sealed)
      assert.equal(text, b:open(number, sealed, "place"))
    end
    assert.equal(1, (b:seal "the other way"))
  end)

  it("refuse what was opened before, changed, or is from elsewhere", function()
    local a, b = channels(some_secret())
    local first, second = { a:seal("1", "here") }, { a:seal("2", "here") }
    local function open(number, sealed, aad)
      local text, _, code = b:open(number, sealed, aad)
      return text or code
    end
    assert.equal("not_opened", open(1, first[2], "there"))
    assert.equal("not_opened", open(2, first[2], "here"))
    assert.equal("not_opened", open(1, second[2], "here"))
    assert.equal("not_opened", open(1, "", "here"))
    assert.equal("1", open(1, first[2], "here"))
    assert.equal("replay", open(1, first[2], "here"))
    assert.equal("2", open(2, second[2], "here"))
    assert.equal("replay", open(1, first[2], "here"))
    assert.equal("replay", open(-1, first[2], "here"))
    assert.equal("not_opened", open(math.maxinteger, first[2], "here"))
    assert.equal("not_opened", select(3, a:open(b:seal "x" + 1, second[2])))
  end)

  it("need two names", function()
    local secret = some_secret()
    for _, names in ipairs { {}, { send = "a" }, { send = "a", receive = "a" }, { send = 1, receive = {} } } do
      assert.has_error(function() secret:channel(names) end)
    end
  end)
end)


describe("the vectors of spec/protocol", function()
  local file = assert(io.open "spec/protocol/vectors.json")
  local vectors = assert(json.decode(file:read "a"))
  file:close()

  local function parts(sealed)
    local number, data = sealed:match "^sealed:(%d+):(.*)$"
    return math.tointeger(number), crypto.base64url_decode(data)
  end

  for _, v in ipairs(vectors.connections) do
    it("of a sealed connection hold, by " .. v.curve, function()
      local hex = crypto.hex_decode
      local salt = crypto.sha256(table.concat({ "lunacast sealed 1", v.curve, v.connection, "" }, "\0")
        .. hex(v.client_raw) .. hex(v.server_raw), "hex")
      assert.equal(v.salt, salt)
      assert.equal(v.client, crypto.hex_encode(crypto.hkdf(hex(v.secret), hex(salt), "client", 44)))
      local channel = crypto.secret(hex(v.secret)):channel { salt = hex(salt), send = "server",
        receive = "client" }
      for _, said in ipairs(v.says) do assert.equal(said.text, channel:open(parts(said.sealed))) end
      for _, heard in ipairs(v.hears) do
        assert.same({ parts(heard.sealed) }, { channel:seal(heard.text) })
      end
    end)
  end

  it("of sealed payloads hold", function()
    for _, v in ipairs(vectors.payloads) do
      local sender, number, data = v.sealed:match "^([^.]+)%.(%d+)%.(.*)$"
      -- A channel's receiving side is one such sender's key.
      local channel = crypto.secret(crypto.hex_decode(v.key)):channel {
        salt = crypto.base64url_decode(sender), send = "unused", receive = "lunacast end to end 1" }
      assert.equal(v.text, channel:open(math.tointeger(number), crypto.base64url_decode(data), v.topic))
    end
  end)
end)
