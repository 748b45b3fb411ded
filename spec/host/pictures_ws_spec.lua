-- Live pictures on a WebSocket of the publish/subscribe contract.
local json = require "host.json"
local server = require "spec.support.server"
local ws = require "spec.support.ws"

local SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text>{{ n }} "é"</text></svg>'


local function picture(n)
  return '<svg xmlns="http://www.w3.org/2000/svg"><text>' .. n .. ' "é"</text></svg>'
end


describe("pictures on a connection #workers", function()
  local app
  setup(function() app = server.start { workers = 2, set = { ["password.ln"] = 10 } } end)
  teardown(function() app:stop() end)

  local function create(id, n)
    assert.equal(201, app:post("/api/session",
      { json = { session_id = id, template = SVG, args = { n = n } } }).status)
  end

  local function paint(id, n)
    assert.equal(200, app:put("/api/session/" .. id, { json = { args = { n = n } } }).status)
  end

  local function hear(c)
    return json.decode(c:read_text())
  end

  local function watch(c, path)
    c:text("watch:" .. path)
    local answer = hear(c)
    assert.same({ "watching", path }, { answer.type, answer.path })
    return answer.channel
  end

  it("come at once, and whenever they change", function()
    create("a", 1)
    create("b", 2)
    local c = ws.connect(app, "/ws")
    local a = watch(c, "/stream/a")
    local first = hear(c)
    assert.same({ a, picture(1) }, { first.channel, first.data })
    local b = watch(c, "/stream/b")
    assert.equal(picture(2), hear(c).data)
    for n = 3, 6 do
      paint("a", n)
      local got = hear(c)
      assert.same({ a, picture(n) }, { got.channel, got.data })
      paint("b", n)
      got = hear(c)
      assert.same({ b, picture(n) }, { got.channel, got.data })
    end
    c:text "unwatch:/stream/a"
    paint("a", 7)
    paint("b", 8)
    assert.equal(b, hear(c).channel)
    assert.is_true((c:is_quiet()))
    c:close()
  end)

  it("are those of users, too, and named as in their streams", function()
    local token = app:post("/api/auth/token", { json = { user_id = "ann", password = "pw" } }):json().token
    assert.equal(201, app:post("/api/user/ann/session", { headers = { Authorization = "Bearer " .. token },
      json = { session_id = "mine", template = SVG, args = { n = 1 } } }).status)
    local c = ws.connect(app, "/ws")
    watch(c, "/stream/ann/mine")
    assert.equal(picture(1), hear(c).data)
    c:close()
  end)

  it("that do not exist are told, and the connection lives on", function()
    local c = ws.connect(app, "/ws")
    for _, path in ipairs { "/stream/none", "/stream/", "/stream/a/b/c", "stream/a", "/svg/a", "", "/stream/..",
      "/stream/a:b", "/stream/*" } do
      c:text("watch:" .. path)
      local answer = hear(c)
      assert.same({ "not_found", path }, { answer.code, answer.path })
      c:text("unwatch:" .. path)
      assert.equal("not_subscribed", hear(c).code)
    end
    c:close()
  end)

  it("are bounded on one connection", function()
    create("bounded", 1)
    local c = ws.connect(app, "/ws")
    for i = 1, 128 do c:text("subscribe:t" .. i) end
    c:text "watch:/stream/bounded"
    assert.equal("watching", hear(c).type)
    assert.equal("too_many", hear(c).code)
    c:close()
  end)
end)
