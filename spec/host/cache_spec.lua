-- web.cache in a real server: who makes a value, who waits for it, and what forgetting means.
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local ROUTE = [[
local cache = require "web.cache"
local store = require "host.store"
local time = require "host.time"
local web = require "web"

local function made(pause)
  return function()
    local n = store.incr "made"
    time.sleep(pause)
    return "value " .. n
  end
end

return {
  { path = "/get/{key}", GET = function(req)
    return web.text(cache.get("things:" .. req.params.key, 60, made(tonumber(req.query.pause or 0))))
  end },
  { path = "/short", GET = function() return web.text(cache.get("short:a", 0.2, made(0))) end },
  { path = "/forget/{group}", POST = function(req)
    assert(cache.forget(req.params.group))
    return web.empty()
  end },
  { path = "/none", GET = function()
    local value, message, code = cache.get("things:none", 60, function()
      store.incr "made"
      return nil, "away", "unavailable"
    end)
    return web.text(tostring(value) .. message .. code)
  end },
  { path = "/failing", GET = function()
    store.incr "asked"
    return web.text(cache.get("things:bad", 60, function()
      store.incr "made"
      repeat time.sleep(0.01) until store.get "asked" == "5"
      web.throw(409, "no", "not today")
    end))
  end },
  { path = "/stuck", GET = function()
    return web.text(cache.get("things:stuck", 60, function()
      local n = store.incr "made"
      while n == 1 do end
      return "value " .. n
    end))
  end },
  { path = "/itself", GET = function()
    return web.text(cache.get("things:itself", 60, function()
      return cache.get("things:itself", 60, made(0))
    end))
  end },
  { path = "/big", GET = function()
    local key = "big:" .. store.incr "n"
    return web.text(tostring(#cache.get(key, 60, function() return ("x"):rep(2^20) end)))
  end },
  { path = "/made", GET = function() return web.text(store.get "made" or "0") end },
}
]]


local function start(options)
  options = options or {}
  options.files = { ["lua/routes/cached.lua"] = ROUTE }
  return server.start(options)
end


-- Starts n requests at once; their bodies.
local function together(app, path, n)
  local requests = {}
  for i = 1, n do
    local socket = app:connect()
    socket:send(("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):format(path))
    requests[i] = socket
  end
  local bodies = {}
  for i, socket in ipairs(requests) do bodies[i] = socket:read_all():match "\r\n\r\n(.*)$" end
  return bodies
end


describe("web.cache", function()
  it("makes a value once and keeps it", function()
    local app = start { workers = 1 }
    assert.equal("value 1", app:get("/get/a").body)
    assert.equal("value 1", app:get("/get/a").body)
    assert.equal("value 2", app:get("/get/b").body)
    assert.equal("2", app:get("/made").body)
    app:stop()
  end)

  it("lets one make it, while all others wait for that one", function()
    local app = start { workers = 1 }
    for _, body in ipairs(together(app, "/get/a?pause=0.2", 20)) do assert.equal("value 1", body) end
    assert.equal("1", app:get("/made").body)
    app:stop()
  end)

  it("forgets a group on all workers, and no other group", function()
    local app = start { workers = 2 }
    for _ = 1, 20 do app:get "/get/a" end
    local before = tonumber(app:get("/made").body)
    assert.is_true(before <= 2, "one for each worker")
    app:post "/forget/others"
    for _ = 1, 20 do app:get "/get/a" end
    assert.equal(before, tonumber(app:get("/made").body))
    app:post "/forget/things"
    for _ = 1, 20 do
      assert.is_true(tonumber(app:get("/get/a").body:match "%d+") > before, "no old value is seen")
    end
    app:stop()
  end)

  it("does not keep what was begun before the forgetting and finished after it", function()
    local app = start { workers = 1 }
    local socket = app:connect()
    socket:send "GET /get/a?pause=0.5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    wait.till(function() return app:get("/made").body == "1" end)
    app:post "/forget/things"
    assert.matches("value 1$", socket:read_all())
    assert.equal("value 2", app:get("/get/a").body)
    app:stop()
  end)

  it("leaves the making to one who waits, when the first has gone", function()
    local app = start { workers = 1 }
    local first = app:connect()
    first:send "GET /get/a?pause=5 HTTP/1.1\r\nHost: x\r\n\r\n"
    wait.till(function() return app:get("/made").body == "1" end)
    local second = app:connect()
    second:send "GET /get/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    first:close()
    assert.matches("value 2$", second:read_all())
    app:stop()
  end)

  it("leaves it to the next one, when the first was stopped since it ran too long", function()
    local app = start { workers = 1 }
    local first, second = table.unpack(together(app, "/stuck", 2))
    assert.matches('"code":"internal"', first)
    assert.equal("value 2", second)
    assert.equal("value 2", app:get("/stuck").body)
    app:stop()
  end)

  it("raises where a value needs itself", function()
    local app = start { workers = 1 }
    assert.equal(500, app:get("/itself").status)
    assert.matches("things:itself is made by what waits for it", app.process.err)
    app:stop()
  end)

  it("makes it anew when its time is over", function()
    local app = start { workers = 1 }
    assert.equal("value 1", app:get("/short").body)
    wait.till(function() return app:get("/short").body ~= "value 1" end)
    app:stop()
  end)

  it("passes failures and errors on to all, and keeps neither", function()
    local app = start { workers = 1 }
    assert.equal("nilawayunavailable", app:get("/none").body)
    assert.equal("nilawayunavailable", app:get("/none").body)
    assert.equal("2", app:get("/made").body)
    for _, body in ipairs(together(app, "/failing", 5)) do assert.matches("not today", body) end
    assert.equal("3", app:get("/made").body)
    app:stop()
  end)

  it("stays within its bytes: the least recently used go", function()
    local app = start { workers = 1, set = { ["cache.bytes"] = "8M" } }
    for _ = 1, 40 do assert.equal("1048576", app:get("/big").body) end
    assert.matches("\ncache_dropped_total 3%d\n", app:get("/metrics").body)
    app:stop()
  end)

  it("forgets everything when scripts are reloaded", function()
    local app = start { workers = 1 }
    assert.equal("value 1", app:get("/get/a").body)
    server.write(app.folder, { ["lua/routes/other.lua"] = "return { path = '/other', GET = function() end }" })
    wait.till(function() return app:get("/other").status ~= 404 end)
    assert.equal("value 2", app:get("/get/a").body)
    app:stop()
  end)
end)
