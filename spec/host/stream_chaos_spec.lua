-- A node or Redis dies in the middle of a handler's stream of events, and of an approval.
local http = require "spec.support.http"
local json = require "host.json"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local FILES = { ["lua/routes/count.lua"] = [[
  local time = require "host.time"
  local web = require "web"
  return { path = "/count/{n}", POST = function(req)
    return web.sse(function(send)
      for i = 1, tonumber(req.params.n) do
        send { event = "count", data = tostring(i) }
        time.sleep(0.02)
      end
    end, { resume = true })
  end }]] }


local function node(redis)
  return server.start { workers = 2, files = FILES,
    set = { ["redis.url"] = redis.url, ["password.ln"] = 10 } }
end


-- Follows a stream: what it counted, which has no hole, and how it ended.
local function follow(stream, till, had)
  local result = { last = had and had.last }
  while not (till and result.last and result.last >= till) do
    local event = stream:next()
    if not event then break end
    result.id = event.id or result.id
    if event.event == "count" then
      local n = tonumber(event.data)
      assert.is_true(result.last == nil or n == result.last + 1,
        ("%d after %s"):format(n, result.last))
      result.last = n
    elseif event.event == "end" then
      result.code = json.decode(event.data).code
      break
    end
  end
  return result
end


local function begin(app, n)
  local stream = http.events(app, "/count/" .. n, { method = "POST", body = "" })
  return stream, stream.headers["content-location"]
end


describe("a handler's stream #workers", function()
  local redis, one, two

  before_each(function()
    redis = redis_server.start { args = { "--appendonly", "yes", "--appendfsync", "always" } }
    one, two = node(redis), node(redis)
  end)

  it("goes on at another node with what there was, and is told that its own has died", function()
    local stream, url = begin(one, 100000)
    local had = follow(stream, 20)
    wait.pause(0.3)
    one:crash()
    local rest = http.events(two, url, { headers = { ["Last-Event-ID"] = had.id } })
    rest = follow(rest, nil, had)
    assert.is_true(rest.last > had.last)
    assert.equal("error", rest.code)
    two:stop()
    redis:down()
  end)

  it("has no hole, when Redis dies meanwhile: it ends where the first event could not be kept", function()
    local stream, url = begin(one, 100000)
    local far = http.events(two, url)
    local had = follow(stream, 20)
    redis:down()
    wait.pause(3) -- what waits for Redis is given up after 2 s
    redis:up()
    local here, there = follow(stream, nil, had), follow(far)
    assert.same({ "error", "error" }, { here.code, there.code })
    assert.equal(here.last, there.last)
    one:stop()
    two:stop()
    redis:down()
  end)
end)
