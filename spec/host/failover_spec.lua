-- A replica of Redis takes over while messages flow. What it had not got is lost, and its offsets
-- are given to other messages: nobody may take the one for the other.
local feed = require "spec.support.feed"
local redis_server = require "spec.support.redis"
local wait = require "spec.support.wait"

local POSITION = "lunacast:position:" .. feed.KEY


-- A primary, a replica of it, and a way that leads to whoever serves.
local function pair()
  local primary = redis_server.start {}
  local replica = redis_server.start {
    args = { "--replicaof", "127.0.0.1", tostring(primary.port), "--repl-diskless-sync-delay", "0" },
  }
  return primary, replica, primary:proxy()
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
end)
