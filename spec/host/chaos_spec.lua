-- Redis dies and comes back, a node dies, between bursts of messages: what a client sees has no hole
-- without a signal before it, and nothing twice.
local feed = require "spec.support.feed"
local redis_server = require "spec.support.redis"


describe("under chaos #workers", function()
  it("a Redis that keeps what it took costs nobody a message", function()
    local redis = redis_server.start { args = { "--appendonly", "yes", "--appendfsync", "always" } }
    local one, two = feed.node(redis), feed.node(redis)
    local here, there, said = feed.follow(one), feed.follow(two), {}
    for round = 1, 2 do
      feed.say(one, round * 100, round * 100 + 20, said)
      redis:down()
      feed.say(one, round * 100 + 21, round * 100 + 21, said)
      redis:up()
      feed.say_at_last(two, round * 100 + 50, said)
      here:till(round * 100 + 50)
      there:till(round * 100 + 50)
    end
    here:has_all(said)
    there:has_all(said)
    assert.equal(0, here.gaps + there.gaps)
    one:stop()
    two:stop()
    redis:down()
  end)

  it("a Redis that forgot everything is told as a gap, and as not recovered", function()
    local redis = redis_server.start {}
    local one, two = feed.node(redis), feed.node(redis)
    local there, said = feed.follow(two), {}
    feed.say(one, 1, 10, said)
    there:till(10)
    local had = there.last
    redis:down()
    redis:up()
    feed.say_at_last(one, 50, {})
    there:till(50)
    assert.equal(1, there.gaps)
    assert.is_false(feed.follow(one, had).begun.recovered)
    one:stop()
    two:stop()
    redis:down()
  end)

  it("the clients of a node that dies go on at another one where they were", function()
    local redis = redis_server.start {}
    local one, two = feed.node(redis), feed.node(redis)
    local client, said = feed.follow(two), {}
    feed.say(one, 1, 30, said)
    client:take()
    two:crash()
    feed.say(one, 31, 60, said)
    while pcall(client.take, client, 2) do end
    local back = feed.follow(one, client.last)
    assert.is_true(back.begun.recovered)
    assert.equal(client.last, back.begun.position)
    feed.say_at_last(one, 61, said)
    back:till(61)
    for number, position in pairs(client.seen) do
      assert.is_nil(back.seen[number])
      back.seen[number] = position
    end
    back:has_all(said)
    assert.equal(0, back.gaps + client.gaps)
    one:stop()
    redis:down()
  end)

  it("a Redis that has less than its nodes have seen begins a new epoch", function()
    local redis = redis_server.start {}
    local one, two = feed.node(redis), feed.node(redis)
    local there, said = feed.follow(two), {}
    feed.say(one, 1, 10, said)
    there:till(10)
    local had = there.last
    redis:command("DEL", "lunacast:history:" .. feed.KEY)
    redis:command("HSET", "lunacast:position:" .. feed.KEY, "o", 3)
    redis:command("CLIENT", "KILL", "TYPE", "pubsub")
    there:take(10)
    assert.equal(1, there.gaps)
    feed.say_at_last(one, 11, said)
    there:till(11)
    assert.not_equal(had:match "^%x+", there.last:match "^%x+")
    one:stop()
    two:stop()
    redis:down()
  end)

  it("a link that is cut again and again loses nothing", function()
    local redis = redis_server.start {}
    local one, two = feed.node(redis), feed.node(redis)
    local there, said = feed.follow(two), {}
    for i = 1, 5 do
      feed.say(one, i * 100, i * 100 + 10, said)
      redis:command("CLIENT", "KILL", "TYPE", "pubsub")
      feed.say(one, i * 100 + 11, i * 100 + 20, said)
    end
    feed.say_at_last(one, 999, said)
    there:till(999)
    there:has_all(said)
    assert.equal(0, there.gaps)
    one:stop()
    two:stop()
    redis:down()
  end)
end)
