-- The way to Redis is disturbed while several publish without a pause: nothing is lost or held.
local load = require "spec.support.load"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local task = require "host.task"
local wait = require "spec.support.wait"


-- When a page that asks nobody was answered: by a server that has no Redis, the machine's own pace.
local function answered_at(app)
  local at
  task.spawn(function()
    pcall(app.get, app, "/hello")
    at = wait.now()
  end)
  return function() return at end
end


-- Each trouble lasts so many seconds, and is over then.
local function go_through(troubles)
  local redis = redis_server.start {}
  local way = redis:proxy()
  local all = load.begin(way, redis)
  local far, calm = all.nodes[1], server.start { workers = 1 }
  for _, trouble in ipairs(troubles) do
    all:flow(10)
    trouble.begin(way, redis)
    local till, samples, late = wait.now() + trouble.seconds, 0, 0
    repeat
      local calm_at, far_at = answered_at(calm), answered_at(far)
      wait.till(function() return calm_at() and far_at() end, "both answers", 60)
      samples, late = samples + 1, late + (far_at() - calm_at() > 1 and 1 or 0)
      wait.pause(0.1)
    until wait.now() > till and samples >= 3
    way:mend()
    redis:thaw()
    assert.is_true(late < samples / 2, "a loop is held") -- now and then it is this process's
  end
  all:flow(10)
  all:settle()
  all:have_all()
  assert.equal(0, all.gaps)
  assert.is_true(far:metric "lunacast_redis_unanswered_total" > 0)
  assert.is_true(far:metric "lunacast_redis_reconnects_total" > 0)
  all:finish()
  calm:stop()
  redis:down()
end


describe("in the middle of a load #workers", function()
  it("a way to Redis that is cut in a reply, or silent, holds no loop and loses nothing", function()
    go_through {
      { seconds = 0, begin = function(way) way:cut { after = 10 } end },
      { seconds = 0, begin = function(way) way:cut { after = 300 } end },
      { seconds = 4, begin = function(way) way:drop() end },
    }
  end)

  it("nor does one that is slow or sliced, or a Redis that stands still #soak", function()
    go_through {
      { seconds = 3, begin = function(way) way:delay(1) end },
      { seconds = 3, begin = function(way) way:slice(1000, 1) end },
      { seconds = 1, begin = function(way) way:slice(1, 0) end },
      { seconds = 5, begin = function(_, redis) redis:freeze() end },
    }
  end)
end)
