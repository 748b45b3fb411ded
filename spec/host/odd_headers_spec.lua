-- Headers that are made to cost much or to break what reads them: no answer is a 500, none is slow.
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local LONG <const> = 15000

local ROUTE = [[
local web = require "web"
return {
  path = "/all",
  GET = function(req)
    local n = 0
    for _ in pairs(req.cookies) do n = n + 1 end
    local kind = req:asks_for "text/html" or req:in_tab() or req.x:header "cookie" ~= nil
    return web.json { n, kind, req.peer, req.network, req.origin, next(req.query) or "" }
  end,
  POST = function(req)
    return web.text(req:header "content-type" and req.form.a or "")
  end,
} ]]

-- What they are made of, repeated; and what stands before and behind.
local PIECES = { "a", " ", "=", ";", ",", '"', "a=", "a;", " ;", "a,", '"a', 'W/"', "*", "b ", "=;", "%", "+", "&",
  "\t", "-", "0", ".", "/", ":", "bytes=0-,", "q=", "for=", "q=0.", "[", "]", "\xff", "Bearer ", "text/html,", "é" }
local AROUND = { { "", "" }, { "a=", "b" }, { '"', "" }, { "Bearer ", " x" }, { "bytes=", "-" }, { "text/html;", "q" } }

local NAMES = { "Cookie", "Accept", "Authorization", "Content-Type", "If-None-Match", "If-Match", "If-Range", "Range",
  "If-Modified-Since", "Accept-Encoding", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
  "Origin", "Access-Control-Request-Headers", "Last-Event-ID", "Cache-Control", "Sec-WebSocket-Protocol",
  "Sec-WebSocket-Extensions", "Sec-Fetch-Dest", "traceparent", "X-Request-ID" }


describe("a header that is made to cost much", function()
  local app

  setup(function()
    math.randomseed(42)
    app = server.start {
      workers = 1,
      set = { ["proxy.trusted"] = "127.0.0.1", ["lua.time_ms"] = 1000 }, -- with sanitizers
      files = {
        ["lua/routes/all.lua"] = ROUTE, ["public/a.txt"] = "hello",
        ["config.lua"] = [[return { plugins = {
          { "cors", origins = { "https://a.example" } }, { "ratelimit", limit = 1000000 } } }]],
      },
    }
    app:post("/api/session", { json = { session_id = "a", template = "<svg/>" } })
  end)
  teardown(function() app:stop() end)

  local function ask(method, path, name, value)
    local began = wait.now()
    local res = app[method](app, path, { headers = { [name] = value }, body = method == "post" and "a=1" or nil })
    local what = ("%s %s: %q..."):format(path, name, value:sub(1, 30))
    assert.is_true(res.status < 500 and res.status ~= 429, what .. " " .. res.status)
    assert.is_true(wait.now() - began < 20, what)
  end

  local function value_of(piece, around)
    local n = (LONG - #around[1] - #around[2]) // #piece
    return (around[1] .. piece:rep(n) .. around[2]):gsub("^[ \t]+", "")
  end

  local paths = { Range = "/public/a.txt", ["If-Range"] = "/public/a.txt", ["If-None-Match"] = "/svg/a",
    ["If-Match"] = "/public/a.txt", ["If-Modified-Since"] = "/public/a.txt", Authorization = "/auth/me",
    ["Last-Event-ID"] = "/sse?topic=a&topic=", ["Sec-WebSocket-Protocol"] = "/ws",
    ["Sec-WebSocket-Extensions"] = "/ws", ["Cache-Control"] = "/posts" }

  for _, name in ipairs(NAMES) do
    it("costs little: " .. name, function()
      for _, piece in ipairs(PIECES) do
        ask("get", paths[name] or "/all", name, value_of(piece, AROUND[math.random(#AROUND)]))
      end
      for _, around in ipairs(AROUND) do
        ask("get", paths[name] or "/all", name, value_of(PIECES[math.random(#PIECES)], around))
      end
    end)
  end

  it("costs little: the kind of a form, and what is in it", function()
    for _, piece in ipairs(PIECES) do
      ask("post", "/all", "Content-Type", value_of(piece, { "", "" }))
    end
    for _, body in ipairs { ("%41"):rep(300000), ("+"):rep(1000000), ("&"):rep(1000000), ("="):rep(1000000),
      ("a=%zz&"):rep(150000), "a=" .. ("%"):rep(1000000) } do
      local res = app:post("/all", { body = body, headers = { ["Content-Type"] = "application/x-www-form-urlencoded" } })
      assert.equal(200, res.status, body:sub(1, 20))
    end
  end)
end)
