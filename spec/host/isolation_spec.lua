-- Clients of several tenants, users and sessions subscribe and publish at random, topics and
-- patterns, plain and with positions; each one gets exactly what is its own. On both stores.
local crypto = require "host.crypto"
local json = require "host.json"
local jwk = require "host.jwk"
local jwt = require "host.jwt"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local ws = require "spec.support.ws"

local SECRET = "a secret of the spec that is long enough"
local TENANTS, SESSIONS = { "", "t", "t1" }, { "s", "1s", "s:1" }
local TOPICS = { "a", "ab", "s:1a", "news.x", "news.y" }
local FOLLOWED = { "a", "ab", "s:1a", "news.x", "news.*", "s:*", "a*" }
local CLIENTS, STEPS = 18, 2500

local FILES = {
  ["config.lua"] = [[return { topics = { ["news.*"] = { history = { messages = 50 } } } }]],
  ["lua/routes/spec.lua"] = [[
    local hub = require "host.hub"
    return { path = "/say/{tenant}", POST = function(req)
      return require "web".json { count = hub.say(req.body, { tenant = req.params.tenant }) }
    end }]],
}


local function token(tenant, user, session)
  local key = jwk.import { kty = "oct", alg = "HS256", k = crypto.base64url_encode(SECRET) }
  return assert(jwt.sign({ sub = user, sid = session, exp = os.time() + 600,
    tenant_id = tenant ~= "" and tenant or nil }, key))
end


local function pick(list) return list[math.random(#list)] end


local function fits(followed, topic)
  local stem = followed:match "^(.*)%*$"
  if stem then return topic:sub(1, #stem) == stem end
  return followed == topic
end


-- What a message is about, whatever envelope it has: n, topic and session.
local function about(text)
  local message = json.decode(text)
  local inner = message.channel and message.data or message
  return inner.payload and ("%s %s %s"):format(inner.payload, inner.topic, inner.session_id)
    or message.code or message.type
end


local function take(client)
  return table.remove(client.came, 1) or about(client.c:read_text())
end


-- Reads until that comes; what came before it is kept for `take`.
local function read_till(client, wanted)
  local came
  repeat
    came = about(client.c:read_text())
    if came ~= wanted then table.insert(client.came, came) end
  until came == wanted
end


-- All that a client has sent has been done.
local function sync(client)
  client.c:text "sync"
  read_till(client, "unknown_command")
end


local function open(app, i)
  local tenant, session = TENANTS[i % #TENANTS + 1], nil
  if i % 2 == 0 then session = SESSIONS[i // 2 % #SESSIONS + 1] end
  local path = "/ws?token=" .. token(tenant, "user" .. i % 4, session)
  return { c = ws.connect(app, path), tenant = tenant, bound = session, follows = {},
    wanted = {}, came = {} }
end


local function subscribe(client)
  local topic, session = pick(FOLLOWED), client.bound or pick(SESSIONS)
  local key = topic .. "|" .. session
  if client.follows[key] then
    client.c:text("unsubscribe:" .. key)
    client.follows[key] = nil
  elseif not topic:find("*", 1, true) and math.random(2) == 1 then
    client.c:text("subscribe:" .. key)
    client.follows[key] = { topic, session }
  else
    client.c:text("subscribe-json:" .. json.encode { topic = topic, session_id = session })
    read_till(client, "subscribed")
    client.follows[key] = { topic, session }
  end
  sync(client)
end


local function publish(clients, client, n)
  local topic, session = pick(TOPICS), client.bound or pick(SESSIONS)
  client.c:text("publish-json:" .. json.encode { topic = topic, session_id = session, payload = n,
    timestamp = "t" })
  sync(client)
  for _, other in ipairs(clients) do
    for _, followed in pairs(other.follows) do
      if other.tenant == client.tenant and followed[2] == session and fits(followed[1], topic) then
        table.insert(other.wanted, ("%d %s %s"):format(n, topic, session))
      end
    end
  end
end


local function suite(name, make)
  it("not one message crosses " .. name .. " #workers", function()
    math.randomseed(7)
    local set, undo = make()
    set["pubsub.secret"], set["limits.ws_rate"], set["password.ln"] = SECRET, 0, 10
    local nodes, clients, received = { server.start { workers = 2, set = set, files = FILES } }, {}, 0
    if undo then nodes[2] = server.start { workers = 2, set = set, files = FILES } end
    for i = 1, CLIENTS do clients[i] = open(nodes[i % #nodes + 1], i) end
    for n = 1, STEPS do
      local client = pick(clients)
      if math.random(4) == 1 then subscribe(client) else publish(clients, client, n) end
      for _, other in ipairs(clients) do
        for _, want in ipairs(other.wanted) do
          assert.equal(want, take(other))
          received = received + 1
        end
        other.wanted = {}
      end
    end
    assert.is_true(received > STEPS / 2)
    for _, client in ipairs(clients) do
      sync(client)
      assert.same({}, client.came)
    end
    nodes[1]:post("/say/t1", { body = "to t1" })
    for _, client in ipairs(clients) do
      if client.tenant == "t1" then assert.equal("to t1", client.c:read_text()) end
      assert.is_true((client.c:is_quiet()))
      client.c:close()
    end
    for _, node in ipairs(nodes) do node:stop() end
    if undo then undo() end
  end)
end

describe("isolation:", function()
  suite("in the process", function() return {} end)

  suite("through Redis", function()
    local redis = redis_server.start {}
    return { ["redis.url"] = redis.url }, function() redis:down() end
  end)
end)
