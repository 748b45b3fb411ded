-- The limiter over real stores: all workers and nodes count together.
local http = require "spec.support.http"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local ROUTE = { ["lua/routes/limited.lua"] = [[
local limiter = require("web.limiter").new { name = "spec", limit = 20, window = 600 }
local web = require "web"
return { path = "/limited/{who}", GET = function(req)
  local ok, state = limiter:take(req.params.who)
  return web.json(ok and 200 or 429, state)
end }]] }

-- All at once: as many connections as requests.
local function burst(apps, who, count)
  local open, passed = {}, 0
  for i = 1, count do
    open[i] = apps[i % #apps + 1]:connect()
    open[i]:send(http.format("GET", "/limited/" .. who))
  end
  for _, c in ipairs(open) do
    local res = http.read_response(c)
    assert.is_true(res.status == 200 or res.status == 429)
    if res.status == 200 then passed = passed + 1 end
    c:close()
  end
  return passed
end


describe("a limiter #workers", function()
  it("counts exactly under a burst over all workers", function()
    local app = server.start { files = ROUTE, workers = 2 }
    assert.equal(20, burst({ app }, "ada", 60))
    assert.equal(20, burst({ app }, "bob", 60))
    assert.equal(0, burst({ app }, "ada", 10))
    app:stop()
  end)

  it("counts over two nodes on one Redis, and alone while it is down", function()
    local redis = redis_server.start()
    local set = { ["redis.url"] = redis.url }
    local one = server.start { files = ROUTE, workers = 1, set = set }
    local two = server.start { files = ROUTE, workers = 1, set = set }
    assert.equal(20, burst({ one, two }, "ada", 60))
    redis:down()
    assert.equal(40, burst({ one, two }, "bob", 80))
    one:logged "each worker limits for itself"
    redis:up()
    wait.till(function() return one:json("/limited/carl").remaining == 19
      and one:metric "limiter_local_total{limiter=\"spec\"}" or false end)
    one:stop()
    two:stop()
  end)
end)
