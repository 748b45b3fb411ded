-- kill -9 in the middle of writes: what was acknowledged is there after the restart.
local http = require "spec.support.http"
local redis = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local WRITES = 1000

-- Writes one session after the other on a few connections and crashes the server in the middle;
-- returns the ids that were acknowledged.
local function write_and_crash(app)
  local acknowledged, connections, next_id = {}, {}, 0
  for i = 1, 8 do connections[i] = app:connect() end
  local function send(c)
    next_id = next_id + 1
    c.id = next_id
    c:post(http.format("POST", "/api/session", { json = {
      session_id = "s" .. next_id, template = "<svg>{{ n }}</svg>", args = { n = next_id },
    } }))
  end
  local function take(c)
    local text = c:peek()
    local _, last = text:find('{"session_id":"s%d+"}')
    if not last then return end
    assert.matches("^HTTP/1.1 201", text)
    c:consume(last)
    acknowledged[#acknowledged + 1] = c.id
    if next_id < WRITES then send(c) end
  end
  for _, c in ipairs(connections) do send(c) end
  while #acknowledged < WRITES / 2 do
    wait.pause(0.005)
    for _, c in ipairs(connections) do take(c) end
  end
  app:crash()
  for _, c in ipairs(connections) do
    take(c) -- an answer that had left before the crash counts
    c:close()
  end
  return acknowledged
end


local function all_there(app, acknowledged)
  local c = app:connect()
  for _, id in ipairs(acknowledged) do
    local res = http.ask(c, "GET", "/api/session/s" .. id)
    assert.equal(200, res.status, "session s" .. id)
    assert.equal(id, res:json().args.n)
  end
  c:close()
end


describe("what was acknowledged before kill -9", function()
  it("is there after the restart, on the embedded store", function()
    local app = server.start { set = { ["log.access"] = false } }
    local acknowledged = write_and_crash(app)
    app = app:restart()
    all_there(app, acknowledged)
    app:stop()
  end)

  it("is there after the restart, on Redis", function()
    local db = redis.start()
    local app = server.start { env = { REDIS_URL = db.url }, set = { ["log.access"] = false } }
    local acknowledged = write_and_crash(app)
    app = app:restart()
    all_there(app, acknowledged)
    app:stop()
    db:down()
  end)
end)
