-- Nodes and Redis are killed and frozen while several publish without a pause, to clients on all
-- nodes, over WebSockets and events, who come back with their positions.
local feed = require "spec.support.feed"
local json = require "host.json"
local load = require "spec.support.load"
local redis_server = require "spec.support.redis"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"


-- Who is present, as a node tells: the readers over WebSockets, wherever they are now.
local function present(app)
  local c = ws.connect(app, "/ws")
  c:text("presence-json:" .. json.encode { topic = feed.TOPIC, session_id = "s" })
  local count = json.decode(c:read_text()).count
  c:close()
  return count
end


describe("in the middle of a load #workers", function()
  it("a node that is killed, and a Redis that comes back, cost no client a message", function()
    local redis = redis_server.start { args = { "--appendonly", "yes", "--appendfsync", "always" } }
    local all = load.begin(redis, redis, redis)
    local one, two, three = table.unpack(all.nodes)
    all:flow(20)
    three:crash()
    all:flow(20)
    redis:down()
    wait.pause(0.3)
    redis:up()
    all:flow(20)
    all:settle({ one, two })
    all:have_all()
    assert.equal(0, all.gaps)
    for _, app in ipairs { one, two } do
      wait.till(function() return present(app) == 3 end, "the dead node's members to leave", 30)
    end
    all:finish({ one, two })
    redis:down()
  end)

  it("a Redis that forgets everything costs what was told as a gap", function()
    local redis = redis_server.start {}
    local all = load.begin(redis, redis)
    all:flow(20)
    redis:down()
    wait.pause(0.3)
    redis:up()
    all:flow(20)
    redis:command "FLUSHALL"
    all:flow(20)
    all:settle()
    for _, reader in ipairs(all.readers) do assert.is_true(reader.gaps > 0) end
    all:finish()
    redis:down()
  end)

  it("anything may happen again and again #soak", function()
    local redis = redis_server.start { args = { "--appendonly", "yes", "--appendfsync", "always" } }
    local ways = { redis:proxy(), redis:proxy(), redis:proxy() }
    local all = load.begin(table.unpack(ways))
    local function for_a_while(longest)
      wait.pause(math.random() * longest)
    end
    local events = {
      function(i) -- a node dies, another one comes
        all.nodes[i]:crash()
        all.nodes[i] = feed.node(ways[i])
      end,
      function()
        redis:down()
        for_a_while(1)
        redis:up()
      end,
      function()
        redis:freeze()
        for_a_while(6)
        redis:thaw()
      end,
      function(i)
        all.nodes[i]:freeze()
        for_a_while(6)
        all.nodes[i]:thaw()
      end,
      function(i) ways[i]:cut { after = math.random(1000) } end,
      function(i) -- one is cut off from the others
        ways[i]:drop()
        for_a_while(6)
        ways[i]:mend()
      end,
      function(i)
        ways[i]:slice(math.random(2000), math.random())
        for_a_while(6)
        ways[i]:mend()
      end,
    }
    for _ = 1, 40 do
      events[math.random(#events)](math.random(#ways))
      all:flow(10)
    end
    for _, way in ipairs(ways) do way:mend() end
    all:settle()
    all:have_all()
    assert.equal(0, all.gaps)
    all:finish()
    redis:down()
  end)
end)
