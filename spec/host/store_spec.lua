-- host.store and host.redis as scripts see them, on both stores.drivers. Each spec is a script of its own,
-- run by the real binary; the rules of the store itself are proven in spec/c/store_spec.c.
local stores = require "spec.support.stores"

local PRELUDE = [[
local store = require "host.store"
local redis = require "host.redis"
local function fails(code, value, message, actual)
  same(nil, value)
  same(code, actual, message)
  same("string", type(message))
end
]]

local function run(environment, code)
  return stores.run(environment, PRELUDE .. code)
end


for name, environment in pairs(stores.drivers) do
  describe("host.store, " .. name, function()
    local env
    before_each(function() env = environment() end)

    local function passes(code) return run(env, code) end

    it("tells its driver", function()
      passes(("same(%q, store.name)"):format(name))
    end)

    it("returns value and version, and nil, nil for what is absent", function()
      passes [[
        same(2, select("#", store.get "a"))
        same(nil, (store.get "a"))
        local version = assert(store.set("a", "b\0c"))
        local value, again = store.get "a"
        same("b\0c", value)
        same(version, again)
      ]]
    end)

    it("adds, compares and sets, with a code for each failure", function()
      passes [[
        local first = assert(store.add("k", "1"))
        fails("exists", store.add("k", "2"))
        local second = assert(store.cas("k", "2", first))
        fails("conflict", store.cas("k", "3", first))
        fails("absent", store.cas("none", "3", first))
        fails("conflict", store.delete("k", { version = first }))
        same(true, store.delete("k", { version = second }))
        same(false, store.delete "k")
      ]]
    end)

    it("takes lives in seconds and fractions", function()
      passes [[
        local time = require "host.time"
        store.set("short", "x", { ttl = 0.05 })
        store.set("long", "x", { ttl = 100 })
        local version = store.set("ever", "x")
        same(math.huge, store.ttl "ever")
        same(nil, store.ttl "none")
        local left = store.ttl "long"
        assert(left > 90 and left <= 100, left)
        version = assert(store.cas("ever", "y", version, { ttl = 100 }))
        version = assert(store.cas("ever", "z", version))
        assert(store.ttl "ever" <= 100)
        assert(store.cas("ever", "z", version, { ttl = 0 }))
        same(math.huge, store.ttl "ever")
        time.sleep(0.1)
        same(nil, (store.get "short"))
      ]]
    end)

    it("counts", function()
      passes [[
        same(1, store.incr "n")
        same(6, store.incr("n", 5))
        same(-4, store.incr("n", -10))
        same(math.maxinteger, store.incr("big", math.maxinteger))
        same("integer", math.type((store.incr "n")))
        fails("type", store.incr "big")
        store.incr("lives", 1, { ttl = 50 })
        assert(store.ttl "lives" <= 50)
      ]]
    end)

    it("lists by prefix in pages", function()
      passes [[
        for i = 1, 25 do assert(store.set(("p:%02d"):format(i), "x")) end
        store.set("q", "x")
        local seen, count, cursor = {}, 0, nil
        repeat
          local keys
          keys, cursor = store.list("p:", { limit = 10, cursor = cursor })
          for _, key in ipairs(assert(keys, cursor)) do
            if not seen[key] then count = count + 1 end
            seen[key] = true
          end
        until not cursor
        same(25, count)
        same(0, #store.list "nothing")
      ]]
    end)

    it("refuses what is too large, and raises for a caller's mistake", function()
      passes [[
        fails("too_large", store.set("k", ("x"):rep(8 * 1024 * 1024 + 1)))
        fails("too_large", store.get(("k"):rep(1025)))
        fails("too_large", store.get "")
        same(false, pcall(store.get))
        same(false, pcall(store.set, "k"))
        same(false, pcall(store.set, "k", {}))
        same(false, pcall(store.set, "k", "v", { ttl = -1 }))
        same(false, pcall(store.set, "k", "v", { ttl = "soon" }))
        same(false, pcall(store.set, "k", "v", { ttl = 0 / 0 }))
        same(false, pcall(store.list, "k", { limit = 0 }))
        same(false, pcall(store.list, "k", { limit = 1001 }))
        same(false, pcall(store.incr, "k", 1.5))
      ]]
    end)

    it("can be asked whether it works", function()
      passes "same(true, store.ping())"
    end)

    it("serves many tasks at once", function()
      passes [[
        local task, time = require "host.task", require "host.time"
        local ended = 0
        for _ = 1, 100 do
          task.spawn(function()
            repeat
              local value, version = store.get "sum"
              local ok, _, code
              if value then
                ok, _, code = store.cas("sum", tostring(value + 1), version)
              else
                ok, _, code = store.add("sum", "1")
              end
            until ok or code ~= "conflict" and code ~= "exists"
            ended = ended + 1
          end)
        end
        while ended < 100 do time.sleep(0.01) end
        same("100", (store.get "sum"))
      ]]
    end)

    it("lets a script end while its calls are under way", function()
      passes [[
        local task = require "host.task"
        for i = 1, 50 do task.spawn(function() store.set("k" .. i, "x") end) end
      ]]
    end)
  end)
end


describe("host.store", function()
  it("keeps what was set over a restart", function()
    local env = stores.drivers.embedded()
    run(env, [[assert(store.set("a", "kept", { ttl = 100 }))]])
    run(env, [[same("kept", (store.get "a")) assert(store.ttl "a" <= 100)]])
  end)

  it("answers unavailable while Redis is away, and works after its return", function()
    local env = stores.drivers.redis()
    stores.redis():down()
    run(env, [[
      local time = require "host.time"
      local began = time.monotonic()
      fails("unavailable", store.get "a")
      fails("unavailable", store.set("a", "b"))
      assert(time.monotonic() - began < 15) -- 2 s each
      fails("unavailable", redis.call("GET", "a"))
    ]])
    stores.redis():up()
    run(env, [[assert(store.set("a", "b"))]])
  end)
end)


describe("host.redis", function()
  it("says when it is not configured", function()
    run(stores.drivers.embedded(), [[
      same(false, redis.configured)
      fails("unavailable", redis.call("PING"))
    ]])
  end)

  it("maps replies to Lua values", function()
    run(stores.drivers.redis(), [[
      same(true, redis.configured)
      same("PONG", redis.call "PING")
      same("OK", redis.call("SET", "a", "x\0y"))
      same("x\0y", redis.call("GET", "a"))
      same(redis.null, redis.call("GET", "none"))
      same(redis.null, require("host.json").null)
      same(3, redis.call("INCRBY", "n", 3))
      local list = redis.call("MGET", "a", "none", "n")
      same(3, #list)
      same(redis.null, list[2])
      same("3", list[3])
      local nested = redis.call("EVAL", "return {1, {2, 'three', {}}, false}", 0)
      same(2, nested[2][1])
      same("three", nested[2][2])
      same(0, #nested[2][3])
      same(redis.null, nested[3])
      fails("wrongtype", redis.call("LPUSH", "a", "1"))
      fails("err", redis.call "NOSUCHCOMMAND")
    ]])
  end)

  it("shares its strings with host.store", function()
    run(stores.drivers.redis(), [[
      redis.call("SET", "a", "theirs")
      local value, version = store.get "a"
      same("theirs", value)
      assert(store.cas("a", "ours", version))
      same("ours", redis.call("GET", "a"))
    ]])
  end)

  it("refuses what would change or block the shared link", function()
    run(stores.drivers.redis(), [[
      for _, command in ipairs { "subscribe", "MULTI", "Watch", "SELECT", "AUTH", "BLPOP", "MONITOR",
                                 "CLIENT", "HELLO", "QUIT", "WAIT" } do
        local ok, message = pcall(redis.call, command, "1", "1")
        same(false, ok, command)
        assert(message:find "bad argument #1", message)
      end
      same(false, pcall(redis.call, "XREAD", "BLOCK", "0", "STREAMS", "s", "$"))
      same(false, pcall(redis.call))
      same(false, pcall(redis.call, "GET", {}))
      same("PONG", redis.call "PING")
    ]])
  end)
end)
