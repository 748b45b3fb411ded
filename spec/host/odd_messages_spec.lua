-- Messages and bodies of random shape, with the names that the protocol knows: each is answered or
-- refused, and none makes a handler fail.
local json = require "host.json"
local server = require "spec.support.server"
local ws = require "spec.support.ws"

local COMMANDS = { "register-name", "register-session", "subscribe", "subscribe-json", "unsubscribe", "publish-json",
  "history-json", "presence-json", "set-data", "watch", "unwatch", "refresh-token", "hello-json", "sealed" }

local NAMES = { "topic", "session_id", "since", "history", "presence", "limit", "reverse", "payload", "message_id",
  "source", "timestamp", "type", "data", "key", "public_key", "keys", "mode", "channel", "token", "user_id",
  "username", "password", "refresh_token", "template", "args", "expire", "title", "body", "email", "question",
  "requestId", "decision", "ttl_seconds" }

local TEXTS = { "", "a", "news", "a|b", "|", "a:b", "*", "a*", "/stream/a", "/stream/a/b", "\0", "é", "a\nb", "..",
  ("x"):rep(300), ("x"):rep(9000), "0:0", "1:1", "ffffffffffffffff:9007199254740993", "-1", "1e9", "nan", "{}", "null",
  "2020-01-01T00:00:00Z", ("|"):rep(3000), ("%"):rep(100), "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "__index", "\u{202e}" }

local NUMBERS = { 0, 1, -1, 2, 0.5, 1e15, -1e300, 9007199254740993, 100000 }

local function one_of(list) return list[math.random(#list)] end


local function value(depth)
  local kind = math.random(depth > 3 and 4 or 7)
  if kind <= 2 then return one_of(TEXTS) end
  if kind == 3 then return one_of(NUMBERS) end
  if kind == 4 then return one_of { true, false, json.null } end
  if kind == 5 then
    local list = json.array {}
    for i = 1, math.random(0, 4) do list[i] = value(depth + 1) end
    return list
  end
  local object = {}
  for _ = 1, math.random(0, 5) do object[one_of(NAMES)] = value(depth + 1) end
  return object
end


-- Text that is JSON, mostly.
local function text()
  local kind = math.random(10)
  if kind == 1 then return one_of(TEXTS) end
  if kind == 2 then return json.encode(value(0)):sub(1, math.random(20)) end
  return json.encode(value(0))
end


describe("what is of random shape", function()
  local app

  setup(function()
    math.randomseed(20)
    app = server.start { workers = 1, set = { ["password.ln"] = 10, ["limits.ws_rate"] = 0, ["log.access"] = false } }
    app:post("/api/session", { json = { session_id = "a", template = "<svg>{{ x }}</svg>", args = { x = 1 } } })
  end)
  teardown(function() app:stop() end)

  local function nothing_failed()
    for _, line in ipairs(app:log()) do
      assert.not_equal("error", line.level, json.encode(line))
    end
  end

  it("is answered on a WebSocket, and the connection lives on", function()
    for _ = 1, 60 do
      local c, sent = ws.connect(app, "/ws"), {}
      for i = 1, 40 do
        sent[i] = one_of(COMMANDS) .. ":" .. (math.random(3) == 1 and one_of(TEXTS) or text())
        c:text(sent[i])
      end
      c:text "the end"
      local frame
      repeat
        frame = assert(c:read(10), "the connection ended")
        assert.not_equal(1011, frame.code, table.concat(sent, "\n"))
      until frame.kind == "close" or (frame.data or ""):find("unknown_command", 1, true)
      c:close()
    end
    nothing_failed()
  end)

  for _, path in ipairs { "/publish", "/api/session", "/api/session/a", "/api/auth/token", "/auth/token", "/auth/login",
    "/auth/register", "/auth/refresh", "/auth/logout", "/posts", "/api/aura/hitl/request", "/sse/a/token" } do
    it("is refused in a body: " .. path, function()
      for _ = 1, 60 do
        local body = text()
        for _, method in ipairs { "post", "put", "patch" } do
          local res = app[method](app, path, { body = body, headers = { ["Content-Type"] = "application/json" } })
          assert.is_true(res.status < 500, ("%s %s %d: %s"):format(method, path, res.status, body:sub(1, 500)))
        end
      end
      nothing_failed()
    end)
  end
end)
