-- host.crypto as a script sees it.
local crypto = require "host.crypto"
local task = require "host.task"
local time = require "host.time"

local QUICK = { ln = 4 }


describe("host.crypto", function()
  it("gives digests in each form", function()
    local abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert.equal(abc, crypto.sha256("abc", "hex"))
    assert.equal(abc, crypto.hex_encode(crypto.sha256 "abc"))
    assert.equal("ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0", crypto.sha256("abc", "base64url"))
    assert.equal("ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=", crypto.sha256("abc", "base64"))
    assert.equal("38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da"
      .. "274edebfe76f65fbd51ad2f14898b95b", crypto.sha384("", "hex"))
    assert.equal("cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
      .. "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e", crypto.sha512("", "hex"))
    assert.has_error(function() crypto.sha256("abc", "octal") end)
    assert.has_error(function() crypto.sha256() end)
  end)

  it("gives the HMACs of RFC 4231", function()
    local key, data = ("\x0b"):rep(20), "Hi There"
    assert.equal("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
      crypto.hmac("sha256", key, data, "hex"))
    assert.equal("afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"
      .. "faea9ea9076ede7f4af152e8b2fa9cb6", crypto.hmac("sha384", key, data, "hex"))
    assert.equal("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad",
      crypto.hmac("sha256", "", "", "hex"))
    assert.has_error(function() crypto.hmac("md5", "k", "d") end)
  end)

  it("gives random bytes of the length asked for", function()
    for _, n in ipairs { 1, 16, 65536 } do assert.equal(n, #crypto.random(n)) end
    assert.not_equal(crypto.random(16), crypto.random(16))
    for _, n in ipairs { 0, -1, 65537 } do
      assert.has_error(function() crypto.random(n) end)
    end
  end)

  it("compares secrets", function()
    assert.is_true(crypto.equal("", ""))
    assert.is_true(crypto.equal("a\0b", "a\0b"))
    assert.is_false(crypto.equal("a\0b", "a\0c"))
    assert.is_false(crypto.equal("a", "aa"))
    assert.has_error(function() crypto.equal("a") end)
  end)

  it("turns bytes into text and back", function()
    for _, name in ipairs { "base64url", "base64", "hex" } do
      local encode, decode = crypto[name .. "_encode"], crypto[name .. "_decode"]
      for n = 0, 70 do
        local bytes = n > 0 and crypto.random(n) or ""
        assert.equal(bytes, decode(encode(bytes)))
      end
      local large = crypto.random(65536):rep(8)
      assert.equal(large, decode(encode(large)))
      local data, message, code = decode "!"
      assert.is_nil(data)
      assert.is_string(message)
      assert.equal("syntax", code)
    end
  end)

  describe("passwords", function()
    it("match their own hash only", function()
      local hash = crypto.password_hash("correct horse", QUICK)
      assert.truthy(hash:match "^%$scrypt%$ln=4,r=8,p=1%$[%w+/]+%$[%w+/]+$")
      assert.is_true(crypto.password_verify("correct horse", hash))
      assert.is_false(crypto.password_verify("correct horsf", hash))
      assert.not_equal(hash, crypto.password_hash("correct horse", QUICK))
      assert.is_false(crypto.needs_rehash(hash, QUICK))
      assert.is_true(crypto.needs_rehash(hash))
      assert.is_true(crypto.needs_rehash "x")
    end)

    it("are 1 to 1,024 bytes without NUL", function()
      local hash = crypto.password_hash(("p"):rep(1024), QUICK)
      assert.is_true(crypto.password_verify(("p"):rep(1024), hash))
      for _, odd in ipairs { "", "a\0b", ("p"):rep(1025), ("p"):rep(102400) } do
        local made, message, code = crypto.password_hash(odd, QUICK)
        assert.is_nil(made)
        assert.is_string(message)
        assert.equal("invalid", code)
        assert.is_false(crypto.password_verify(odd, hash))
      end
    end)

    it("are not checked against a hash that asks for the moon", function()
      local tail = "$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf044w"
      for _, odd in ipairs {
        "", "x", "$scrypt$ln=40,r=8,p=1" .. tail, "$scrypt$ln=20,r=32,p=1" .. tail, ("x"):rep(10000),
      } do
        local right, message, code = crypto.password_verify("p", odd)
        assert.is_nil(right)
        assert.is_string(message)
        assert.equal("bad_hash", code)
      end
      assert.has_error(function() crypto.password_hash("p", { ln = 30 }) end)
      assert.has_error(function() crypto.password_hash("p", { ln = "4" }) end)
    end)

    it("wait in a bounded line, and what does not fit is told at once", function()
      local done, busy, started = 0, 0, 120
      for i = 1, started do
        task.spawn(function()
          local hash, _, code = crypto.password_hash("p" .. i, { ln = 10 })
          if hash then done = done + 1 elseif code == "busy" then busy = busy + 1 end
        end)
      end
      local deadline = time.monotonic() + 30
      while done + busy < started and time.monotonic() < deadline do time.sleep(0.01) end
      assert.equal(started, done + busy)
      assert.truthy(done >= 65)
      assert.truthy(busy > 0)
    end)

    it("do not keep the loop from turning", function()
      local ended
      task.spawn(function()
        crypto.password_hash("p", { ln = 15 })
        ended = true
      end)
      local turns = 0
      while not ended do
        time.sleep(0.001)
        turns = turns + 1
      end
      assert.truthy(turns > 3)
    end)
  end)
end)
