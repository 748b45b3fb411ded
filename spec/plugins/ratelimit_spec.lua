-- The plugin ratelimit: who is counted as whom, and what the client is told.
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"

local function start(settings, options)
  options = options or {}
  options.files = { ["config.lua"] = "return { plugins = { { 'ratelimit', " .. settings .. " } } }" }
  options.workers = options.workers or 2
  return server.start(options)
end

-- Statuses of so many requests, as text: "200 200 429".
local function statuses(app, count, headers)
  local list = {}
  for i = 1, count do list[i] = app:get("/hello/a", { headers = headers }).status end
  return table.concat(list, " ")
end


describe("a rate limit #workers", function()
  it("answers 429 with what the client has to know, and lets others in", function()
    local app = start "limit = 3, window = 600, skip = { '/health' }"
    local first = app:get "/hello/a"
    assert.equal("3", first.headers["ratelimit-limit"])
    assert.equal("2", first.headers["ratelimit-remaining"])
    assert.equal("3;w=600", first.headers["ratelimit-policy"])
    assert.is_true(tonumber(first.headers["ratelimit-reset"]) <= 600)
    assert.equal("200 200 429 429", statuses(app, 4))
    local res = app:get "/hello/a"
    assert.equal(429, res.status)
    assert.equal("too_many_requests", res:json().code)
    assert.equal("0", res.headers["ratelimit-remaining"])
    local wait = tonumber(res.headers["retry-after"])
    assert.is_true(wait >= 1 and wait <= 1200)
    assert.equal(200, app:get("/health").status)
    app:stop()
  end)

  it("counts a user as one, from wherever, and a wrong token as nobody", function()
    local app = start("limit = 5, user_limit = 2, window = 600", { set = { ["password.ln"] = 10 } })
    local function token(user)
      local res = app:post("/api/auth/token", { json = { user_id = user, password = "a good password" } })
      return { Authorization = "Bearer " .. res:json().token }
    end
    local ada, bob = token "ada", token "bob"
    assert.equal("200 200 429", statuses(app, 3, ada))
    assert.equal("200 200 429", statuses(app, 3, bob))
    assert.equal("200 200 200 429", statuses(app, 4, { Authorization = "Bearer a.b.c" }))
    app:stop()
  end)

  it("believes no header of a client, and of a trusted proxy the last hop that is none", function()
    local app = start "limit = 2, window = 600"
    assert.equal("200", statuses(app, 1, { ["X-Forwarded-For"] = "1.1.1.1" }))
    assert.equal("200 429", statuses(app, 2, { ["X-Forwarded-For"] = "2.2.2.2", Forwarded = "for=3.3.3.3" }))
    app:stop()
    app = start("limit = 2, window = 600", { set = { ["proxy.trusted"] = "127.0.0.0/8,10.0.0.0/8" } })
    local function from(list) return { ["X-Forwarded-For"] = list } end
    assert.equal("200 200 429", statuses(app, 3, from "9.9.9.9, 1.1.1.1, 10.2.3.4"))
    assert.equal("429", statuses(app, 1, from "8.8.8.8, 1.1.1.1"))
    assert.equal("200 200 429", statuses(app, 3, from "1.1.1.1, 5.5.5.5:1234"))
    assert.equal("200 200 429", statuses(app, 3, { Forwarded = 'for=9.9.9.9, for="7.7.7.7:80";proto=https' }))
    assert.equal("429", statuses(app, 1, { Forwarded = "For=7.7.7.7" }))
    assert.equal("200 200 429", statuses(app, 3, from "made up, by nobody"))
    app:stop()
  end)

  it("counts IPv6 by the /64 of its customer", function()
    local app = start("limit = 3, window = 600", { set = { ["proxy.trusted"] = "127.0.0.1" } })
    local passed = 0
    for i = 1, 30 do
      local text = statuses(app, 1, { ["X-Forwarded-For"] = ("2001:db8:1:2:%x:%x::1"):format(i, i * 7) })
      if text == "200" then passed = passed + 1 end
    end
    assert.equal(3, passed)
    assert.equal("200", statuses(app, 1, { ["X-Forwarded-For"] = "2001:db8:1:3::1" }))
    assert.equal("200", statuses(app, 1, { ["X-Forwarded-For"] = "[2001:db8:1:4::1]:443" }))
    app:stop()
  end)

  it("has stricter rules below a path", function()
    local app = start "limit = 100, window = 600, rules = { { path = '/hello/', limit = 1, window = 600 } }"
    local function told(path)
      local headers = app:get(path).headers
      return headers["ratelimit-limit"] .. " " .. headers["ratelimit-remaining"]
    end
    assert.equal("1 0", told "/hello/x")
    assert.equal("429", statuses(app, 1))
    assert.equal("1 0", told "/hello/x")
    assert.matches("^100 9", told "/")
    assert.equal(200, app:get("/").status)
    app:stop()
  end)

  it("holds over two nodes on one Redis", function()
    local redis = redis_server.start()
    local set = { ["redis.url"] = redis.url }
    local one = start("limit = 4, window = 600", { set = set, workers = 1 })
    local two = start("limit = 4, window = 600", { set = set, workers = 1 })
    assert.equal("200 200", statuses(one, 2))
    assert.equal("200 200 429", statuses(two, 3))
    assert.equal("429", statuses(one, 1))
    one:stop()
    two:stop()
  end)
end)
