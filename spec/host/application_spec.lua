-- A user's application: files in a folder, beside and over the framework's own.
local http = require "spec.support.http"
local server = require "spec.support.server"
local time = require "host.time"
local wait = require "spec.support.wait"


describe("an application's folder", function()
  local app

  setup(function()
    app = server.start { workers = 2, files = {
      ["config.lua"] = [[return {
        app = { title = "shop", middleware = { "stamp" } },
      }]],
      ["lua/routes/items.lua"] = [[
        local web = require "web"
        local config = require "host.config"
        return {
          { path = "/items/{id}", GET = function(req)
              return web.json { id = req.params.id, title = config.app.title, q = req.query.q }
            end,
            PUT = function(req) return web.text(201, req.body) end },
          { path = "/private", middleware = { "gate" }, GET = function() return web.text "in" end },
          { path = "/cookies", GET = function(req)
              return web.with(web.text(req.cookies.a or "none"),
                { ["Set-Cookie"] = { "a=1; Path=/", "b=2; Path=/" } })
            end },
          { path = "/pieces", GET = function()
              return web.chunks("text/plain", function(write)
                for i = 1, 3 do write(("piece %d\n"):format(i)) end
              end)
            end,
            POST = function(req)
              local n = 0
              for piece in function() return req:read() end do n = n + #piece end
              return web.text(tostring(n))
            end },
          { path = "/small", body_limit = 10, POST = function(req) return web.text(req.body) end },
          { path = "/json", POST = function(req)
              return web.json { got = req.json, again = req.json, text = req.body }
            end },
          { path = "/go", GET = function() return web.redirect "/items/1" end },
          { path = "/html", GET = function() return web.html "<p>hi" end },
          { path = "/page/{name}", GET = function(req)
              return web.render(req.params.name, { who = "<ada>" })
            end },
          { path = "/gone", GET = function() return web.render(410, "a.html", { who = "b" }) end },
          { path = "/wrong", GET = function() return "text" end },
          { path = "/split", GET = function()
              return web.with(web.text "x", { ["X-Bad"] = "a\r\nSet-Cookie: evil=1" })
            end },
          { path = "/topic", GET = function(req)
              local watch, message, code = require("web.topics").open "clock:1"
              if not watch then web.throw(404, "not_found", message or code or "gone") end
              return web.sse("clock:1", { watch = watch })
            end },
        }]],
      ["lua/routes/hello.lua"] = [[
        local web = require "web"
        return { path = "/hello", GET = function() return web.text "ours" end }]],
      ["templates/a.html"] = '{% extends "frame.html" %}{% block b %}{{ who }}{% endblock %}',
      ["templates/frame.html"] = "<p>{% block b %}{% endblock %}</p>",
      ["templates/a.txt"] = "{{ who }}",
      ["templates/bad.html"] = "\n {{ nobody }}",
      ["lua/middleware/stamp.lua"] = [[
        local web = require "web"
        return function(req, next) return web.with(next(req), { ["X-Stamp"] = req.method }) end]],
      ["lua/middleware/gate.lua"] = [[
        local web = require "web"
        return function(req, next)
          if req:header "x-key" ~= "open" then web.throw(403, "closed", "the gate is closed") end
          return next(req)
        end]],
      ["lua/start/count.lua"] = [[
        return function(info) require("host.store").set("started", tostring(info.worker)) end]],
      ["lua/topics/clock.lua"] = [[
        return { prefixes = { "clock:" }, read = function(topic) return "tick of " .. topic, 1 end }]],
      ["lua/routes/started.lua"] = [[
        return { path = "/started", GET = function()
          return require("web").text((require("host.store").get "started") or "not yet")
        end }]],
    } }
  end)
  teardown(function() app:stop() end)

  it("adds routes, with parameters, query, body and settings of its own", function()
    assert.same({ id = "7", title = "shop", q = "a b" }, app:json "/items/7?q=a+b")
    local res = app:put("/items/7", { body = "text" })
    assert.equal(201, res.status)
    assert.equal("text", res.body)
  end)

  it("replaces a file of the framework by one of the same name, and keeps the others", function()
    assert.equal("ours", app:get("/hello").body)
    assert.equal(404, app:get("/hello/x").status)
    assert.equal(200, app:get("/health").status)
    assert.equal(200, app:get("/api/session").status)
  end)

  it("puts its middleware around every route", function()
    assert.equal("GET", app:get("/hello").headers["x-stamp"])
    assert.equal("GET", app:get("/health").headers["x-stamp"])
  end)

  it("puts a route's own middleware around it", function()
    assert.equal(403, app:get("/private").status)
    assert.equal("in", app:get("/private", { headers = { ["X-Key"] = "open" } }).body)
  end)

  it("runs its start files once", function()
    wait.till(function() return app:get("/started").body == "0" end, "the start file")
  end)

  it("sets several cookies and reads them", function()
    local res = app:get("/cookies", { headers = { Cookie = "z=9; a=7" } })
    assert.equal("7", res.body)
    local cookies = {}
    for _, pair in ipairs(res.list) do
      if pair[1]:lower() == "set-cookie" then cookies[#cookies + 1] = pair[2] end
    end
    table.sort(cookies)
    assert.same({ "a=1; Path=/", "b=2; Path=/" }, cookies)
  end)

  it("writes and reads bodies by pieces", function()
    local res = app:get "/pieces"
    assert.equal("piece 1\npiece 2\npiece 3\n", res.body)
    assert.equal("chunked", res.headers["transfer-encoding"])
    assert.equal("300000", app:post("/pieces", { body = ("x"):rep(300000) }).body)
  end)

  it("limits bodies by route", function()
    assert.equal("0123456789", app:post("/small", { body = "0123456789" }).body)
    assert.equal(413, app:post("/small", { body = "0123456789a" }).status)
  end)

  describe("decodes JSON bodies", function()
    local function post(body, kind)
      return app:post("/json", { body = body, headers = { ["Content-Type"] = kind } })
    end

    local function refused(status, code, res)
      assert.equal(status, res.status)
      assert.equal(code, res:json().code)
      return res:json().error
    end

    it("of the kinds that are JSON, with and without a type", function()
      for _, kind in ipairs { "application/json", "application/json; charset=utf-8", " Application/JSON",
        "application/merge-patch+json", "application/vnd.a.b+json;v=1" } do
        assert.same({ a = { 1 } }, post('{"a":[1]}', kind):json().got)
      end
      assert.same({ got = 7, again = 7, text = " 7 " }, post(" 7 "):json())
    end)

    it("that come in pieces", function()
      local c = app:connect()
      c:send "POST /json HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
      for piece in ('{"a":[2]}'):gmatch "..?.?" do
        time.sleep(0.02)
        c:send(piece)
      end
      assert.same({ a = { 2 } }, http.read_response(c):json().got)
      c:close()
    end)

    it("and refuses others, saying why", function()
      for _, kind in ipairs { "text/plain", "application/x-www-form-urlencoded", "json", "application/+json" } do
        assert.truthy(refused(415, "wrong_type", post("{}", kind)):find(kind, 1, true))
      end
      assert.truthy(refused(400, "bad_json", post '{"a":'):find "line 1")
      refused(400, "bad_json", post "{} x")
      refused(400, "empty_body", post "")
      refused(400, "bad_json", post(("["):rep(65)))
    end)
  end)

  it("redirects and sends HTML", function()
    local res = app:get "/go"
    assert.equal(303, res.status)
    assert.equal("/items/1", res.headers.location)
    assert.equal("text/html; charset=utf-8", app:get("/html").headers["content-type"])
  end)

  it("renders its templates, escaped where the name asks for it", function()
    local res = app:get "/page/a.html"
    assert.equal("<p>&lt;ada&gt;</p>", res.body)
    assert.equal("text/html; charset=utf-8", res.headers["content-type"])
    assert.equal("<ada>", app:get("/page/a.txt").body)
    assert.equal(410, app:get("/gone").status)
    for _, name in ipairs { "bad.html", "absent.html" } do
      assert.equal(500, app:get("/page/" .. name).status)
    end
    assert.truthy(app:logged("templates/bad.html:2:5").trace)
  end)

  it("answers 500 for a response that is none, and for headers that would split it", function()
    for _, path in ipairs { "/wrong", "/split" } do
      local res = app:get(path)
      assert.equal(500, res.status)
      assert.equal("internal", res:json().code)
      assert.equal(res.headers["x-request-id"], res:json().request_id)
      assert.is_nil(res.headers["set-cookie"])
    end
  end)

  it("has topics of its own, live with the newest value", function()
    local events = http.events(app, "/topic")
    assert.equal("tick of clock:1", events:next().data)
    events:close()
  end)
end)


describe("an application in development", function()
  it("shows file, line and source of an error, as text and as a page", function()
    local app = server.start { workers = 1, set = { dev = true }, files = {
      ["lua/routes/bad.lua"] = 'return { path = "/bad", GET = function(req)\n  return req.nothing.here\nend }\n',
    } }
    local res = app:get "/bad"
    assert.equal(500, res.status)
    assert.truthy(res.body:find("lua/routes/bad.lua:2", 1, true), res.body)
    assert.truthy(res.body:find(">    2    return req.nothing.here", 1, true), res.body)
    res = app:get("/bad", { headers = { Accept = "text/html" } })
    assert.equal("text/html; charset=utf-8", res.headers["content-type"])
    assert.truthy(res.body:find("return req.nothing.here", 1, true))
    app:stop()
  end)
end)


describe("a filter that is saved", function()
  local function filter(colour)
    return ("return function(value) return value .. ' is %s' end\n"):format(colour)
  end

  it("changes pictures that are watched, with no request, where rerender is set", function()
    local app = server.start { workers = 2, set = { rerender = true },
      files = { ["lua/filters/paint.lua"] = filter "red" } }
    app:post("/api/session", { json = { session_id = "a", template = "<svg>{{ x | paint }}</svg>",
      args = { x = "it" } } })
    local streams = {}
    for i = 1, 4 do
      streams[i] = http.pictures(app, "/stream/a")
      assert.equal("<svg>it is red</svg>", streams[i]:next())
    end
    server.write(app.folder, { ["lua/filters/paint.lua"] = filter "blue" })
    for i = 1, 4 do streams[i]:till "it is blue" end
    server.write(app.folder, { ["lua/filters/paint.lua"] = "return function() error 'broken' end" })
    app:logged "could not be made anew"
    assert.equal("<svg>it is blue</svg>", app:get("/svg/a").body)
    for i = 1, 4 do streams[i]:close() end
    app:stop()
  end)
end)


describe("an application with a mistake", function()
  local function refusal(files)
    local app = server.launch { workers = 1, files = files }
    local code = app.process:wait()
    assert.is_true(code ~= 0)
    return app.process.err
  end

  it("does not start, and says which file is wrong", function()
    local said = refusal { ["lua/routes/a.lua"] = "return {" }
    assert.truthy(said:find("lua/routes/a.lua", 1, true), said)
    said = refusal { ["lua/routes/a.lua"] = "return { path = '/a', GTE = print }" }
    assert.truthy(said:find("GTE has no meaning", 1, true), said)
    said = refusal {
      ["lua/routes/a.lua"] = "return { path = '/a/{x}', GET = print }",
      ["lua/routes/b.lua"] = "return { path = '/a/{y}', GET = print }",
    }
    assert.truthy(said:find("lua/routes/b.lua", 1, true) and said:find("lua/routes/a.lua", 1, true), said)
    said = refusal { ["lua/routes/a.lua"] = "return { path = '/health', GET = print }" }
    assert.truthy(said:find("/health", 1, true), said)
  end)
end)
