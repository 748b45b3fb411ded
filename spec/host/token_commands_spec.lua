-- Tokens and keys from the command line, with a running server and without.
local json = require "host.json"
local process = require "spec.support.process"
local redis = require "spec.support.redis"
local server = require "spec.support.server"
local uv = require "luv"

local BINARY = uv.fs_realpath(server.BINARY)


-- The command's name comes first.
local function run(app, name, ...)
  local words = { name, ... }
  words[#words + 1], words[#words + 2] = "--app", app.folder
  words[#words + 1], words[#words + 2] = "--data", app.data
  for key, value in pairs(app.given and app.given.set or {}) do
    words[#words + 1], words[#words + 2] = "--set", key .. "=" .. value
  end
  return process.run(BINARY, words)
end

local function token(app, ...)
  local p = run(app, "token", "issue", "--user", "ada", ...)
  assert.equal(0, p.code, p.err)
  return (p.out:gsub("\n", ""))
end


local function behaves(app)
  local good = token(app)
  local p = run(app, "token", "verify", good)
  assert.equal(0, p.code, p.err)
  assert.equal("ada", json.decode(p.out).sub)
  p = run(app, "token", "verify", good:sub(1, -5) .. "AAAA")
  assert.equal(1, p.code)
  assert.matches("signature", p.err)

  local keys = json.decode(run(app, "keys", "list", "--json").out)
  assert.equal(1, #keys)
  local first = keys[1].kid
  assert.equal(1, run(app, "keys", "retire", first).code)
  p = run(app, "keys", "retire", "-Zk3n") -- ids are base64url
  assert.equal(1, p.code)
  assert.matches("%-Zk3n", p.err)
  p = run(app, "keys", "rotate")
  assert.equal(0, p.code, p.err)
  assert.is_nil(p.err:find "was rotated") -- said once, by the command
  keys = json.decode(run(app, "keys", "list", "--json").out)
  assert.same({ "signs", "verifies" }, { keys[1].use, keys[2].use })
  assert.equal(first, keys[2].kid)
  assert.is_true(keys[2].seconds > 0)
  assert.equal(0, run(app, "token", "verify", good).code)
  assert.matches(first:gsub("%p", "%%%0") .. " +RS256 +verifies +%d+ d", run(app, "keys", "list").out)

  assert.equal(0, run(app, "keys", "retire", first).code)
  p = run(app, "token", "verify", good)
  assert.equal(1, p.code)
  assert.equal(1, run(app, "keys", "retire", first).code)
  assert.equal(1, #json.decode(run(app, "keys", "list", "--json").out))
end


describe("lunacast token and keys", function()
  it("work with the running server", function()
    local app = server.start {}
    behaves(app)
    local good = token(app)
    assert.equal(200, app:get("/api/user/ada/session", { token = good }).status)
    assert.equal(401, app:get("/api/user/ada/session", { token = good .. "x" }).status)
    app:stop()
  end)

  it("work with the store while no server runs", function()
    local folder = server.folder()
    behaves { folder = folder, data = folder .. "/data" }
  end)

  it("work with Redis, beside a server of the same application", function()
    local store = redis.start()
    local app = server.start { set = { ["redis.url"] = store.url } }
    local elsewhere = { folder = app.folder, data = server.folder(), given = app.given }
    local good = token(elsewhere)
    assert.equal(200, app:get("/api/user/ada/session", { token = good }).status)
    app:stop()
    store:down()
  end)

  it("show what is in a token without any server or key", function()
    local folder = server.folder()
    local app = { folder = folder, data = folder .. "/data" }
    local p = run(app, "token", "inspect",
      "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEiLCJleHAiOjE3MDAwMDAwMDB9.AAAA", "--json")
    assert.same({ header = { alg = "HS256" }, claims = { sub = "ada", exp = 1700000000 } }, json.decode(p.out))
    p = run(app, "token", "inspect", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEiLCJleHAiOjE3MDAwMDAwMDB9.AAAA")
    assert.matches("expires 2023%-11%-14 .* ago%)", p.err)
    assert.matches("not checked", p.err)
    assert.equal(1, run(app, "token", "inspect", "rubbish").code)
    assert.is_nil(uv.fs_stat(folder .. "/data"))
  end)

  it("say what is wrong with an order", function()
    local folder = server.folder()
    local app = { folder = folder, data = folder .. "/data" }
    local p = run(app, "token", "issue")
    assert.equal(2, p.code)
    assert.matches("%-%-user NAME", p.err)
    p = run(app, "token", "issue", "--user", "ada", "--ttl", "soon")
    assert.equal(1, p.code)
    assert.matches("90s, 15m", p.err)
    p = run(app, "token", "issue", "--user", "ada", "--ttl", "90d")
    assert.matches("at most 30d", p.err)
    assert.equal(2, run(app, "token", "isue").code)
  end)
end)
