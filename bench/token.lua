-- What a token costs: `lunacast lua bench/token.lua [json]`, pinned to a core that is else idle.
-- A repeated token is a hit of the cache; a new RS256 one is put beside `openssl speed`, measured
-- on the same core right before and after.
local json = require "host.json"
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local time = require "host.time"

local REPEATED, NEW, ROUNDS = 200000, 2000, 5
local exp = math.floor(time.now()) + 3600


local function token_of(key, n)
  return (assert(jwt.sign({
    sub = "ann", iss = "realtime-svg", iat = exp - 3600, exp = exp, jti = ("jti%019d"):format(n),
  }, key)))
end


-- The best of some rounds, in microseconds of CPU time per call, as openssl speed counts it: noise
-- only ever adds.
local function best(count, fn)
  local least = math.huge
  for round = 1, ROUNDS do
    local start = os.clock()
    for i = 1, count do fn(i, round) end
    least = math.min(least, (os.clock() - start) / count * 1e6)
    time.sleep(0)
  end
  return least
end


local function openssl_verify()
  local pipe = assert(io.popen "openssl speed -seconds 2 -mr rsa2048 2>/dev/null")
  local text = pipe:read "a"
  pipe:close()
  local per_second = text:match "%+F2:%d+:2048:[%d%.]+:([%d%.]+)"
  return 1e6 / tonumber(per_second)
end


local function measure(alg)
  local key = assert(jwk.generate(alg))
  local set, options = jwk.set { key }, { issuer = "realtime-svg", leeway = 5 }
  local once = token_of(key, 0)
  local tokens = {}
  for i = 1, NEW * ROUNDS do tokens[i] = token_of(key, i) end
  return {
    repeated = best(REPEATED, function() assert(jwt.verify(once, set, options)) end),
    new = best(NEW, function(i, round)
      assert(jwt.verify(tokens[(round - 1) * NEW + i], set, options))
    end),
  }
end


local before = openssl_verify()
local result = { RS256 = measure "RS256", ES256 = measure "ES256", EdDSA = measure "EdDSA" }
result.openssl_rsa2048_verify = math.min(before, openssl_verify())
result.new_to_openssl = result.RS256.new / result.openssl_rsa2048_verify

if arg[1] == "json" then
  print(json.encode(result))
else
  for _, alg in ipairs { "RS256", "ES256", "EdDSA" } do
    local r = result[alg]
    print(("%-6s repeated %6.2f us   new %7.2f us"):format(alg, r.repeated, r.new))
  end
  print(("openssl speed rsa2048: verify %.2f us; a new RS256 token takes %.2f times that"):format(
    result.openssl_rsa2048_verify, result.new_to_openssl))
end
