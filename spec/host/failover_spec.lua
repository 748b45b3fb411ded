-- A replica of Redis takes over while messages flow. What it had not got is lost, and its offsets
-- are given to other messages: nobody may take the one for the other.
local feed = require "spec.support.feed"
local redis_server = require "spec.support.redis"
local wait = require "spec.support.wait"

local POSITION = "lunacast:position:" .. feed.KEY


local function replica_of(primary)
  return redis_server.start {
    args = { "--replicaof", "127.0.0.1", tostring(primary.port), "--repl-diskless-sync-delay", "0" },
  }
end


-- A primary, a replica of it, and a way that leads to whoever serves.
local function pair()
  local primary = redis_server.start {}
  return primary, replica_of(primary), primary:proxy()
end


local function till_replica_has(replica, position)
  local offset = position:match ":(%d+)$"
  wait.till(function() return replica:command("HGET", POSITION, "o") == offset end,
    "the replica to have " .. position)
end


local function promote(replica)
  assert.equal("OK", replica:command("REPLICAOF", "NO", "ONE"))
end


describe("a failover of Redis #workers", function()
  it("that loses nothing costs nobody a message, and no client its place", function()
    local primary, replica, way = pair()
    local one, two = feed.node(way), feed.node(way)
    local here, there, said = feed.follow(one), feed.follow(two), {}
    local last = feed.say(one, 1, 10, said)
    here:till(10)
    local early = there:take()
    till_replica_has(replica, last)
    primary:down()
    promote(replica)
    way:to(replica.address)
    feed.say_at_last(one, 11, said)
    here:till(11)
    there:till(11)
    here:has_all(said)
    there:has_all(said)
    assert.equal(0, here.gaps + there.gaps)
    local back = feed.follow(two, early)
    assert.is_true(back.begun.recovered)
    back:till(11)
    assert.equal(0, back.gaps)
    assert.equal(10, back.count)
    one:stop()
    two:stop()
    replica:down()
  end)

  it("that loses the newest is told to those who had them, and to nobody else", function()
    local primary, replica, way = pair()
    local one, two, three = feed.node(way), feed.node(way), feed.node(replica)
    local ahead, said = feed.follow(one), {}
    local shared = feed.say(two, 1, 5, said)
    till_replica_has(replica, shared)
    promote(replica) -- the primary has not died yet: what it takes from now on is lost
    local lost = feed.say(two, 6, 10, {})
    ahead:till(10)
    feed.say_at_last(three, 11, said)
    feed.say(three, 12, 25, said) -- beyond all offsets that were lost
    primary:down()
    way:to(replica.address)

    ahead:till(25)
    assert.equal(1, ahead.gaps)
    assert.is_false(feed.follow(two, lost).begun.recovered)
    assert.is_false(feed.follow(three, lost).begun.recovered)
    for _, node in ipairs { one, two, three } do
      local back = feed.follow(node, shared)
      assert.is_true(back.begun.recovered)
      back:till(25)
      assert.equal(15, back.count)
      assert.equal(0, back.gaps)
    end
    assert.is_true(one:get("/page?since=" .. shared):json().recovered)
    assert.equal(15, #one:get("/page?since=" .. shared):json().items)
    assert.is_false(one:get("/page?since=" .. lost):json().recovered)
    for _, node in ipairs { one, two, three } do node:stop() end
    replica:down()
  end)

  it("that follows on another costs nobody its place that came through both", function()
    local first, second, way = pair()
    local third = replica_of(second)
    local one, two, last_one = feed.node(way), feed.node(way), feed.node(third)
    local here, said = feed.follow(one), {}
    local early = feed.say(one, 1, 5, said)
    till_replica_has(third, early)
    first:down()
    promote(second)
    way:to(second.address)
    local middle = feed.say_at_last(one, 6, said)
    till_replica_has(third, middle)
    promote(third) -- the second lives on for a while: what it takes from now on is lost
    local lost = feed.say(one, 7, 9, {})
    here:till(9)
    feed.say_at_last(last_one, 10, said)
    local newest = feed.say(last_one, 11, 25, said)
    second:down()
    way:to(third.address)
    here:till(25)
    assert.equal(1, here.gaps) -- of 7 to 9

    for _, node in ipairs { one, two, last_one } do
      for position, count in pairs { [early] = 17, [middle] = 16, [newest] = 0 } do
        local back = feed.follow(node, position)
        assert.is_true(back.begun.recovered, position)
        if count > 0 then back:till(25) end
        assert.same({ count, 0 }, { back.count, back.gaps })
        local page = node:get("/page?since=" .. position):json()
        assert.same({ true, count }, { page.recovered, #page.items })
      end
      assert.is_false(feed.follow(node, lost).begun.recovered)
      assert.is_false(node:get("/page?since=" .. lost):json().recovered)
    end
    for _, node in ipairs { one, two, last_one } do node:stop() end
    third:down()
  end)
end)
