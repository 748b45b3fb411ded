-- Live pictures through real HTTP: each rule of the contract, one worker and two.
local http = require "spec.support.http"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text>{{ x }}</text></svg>'
local POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"

local function picture(x)
  return (SVG:gsub("{{ x }}", tostring(x)))
end


describe("public sessions", function()
  local app, count = nil, 0

  setup(function() app = server.start { workers = 2, set = { max_fps = 0 } } end)
  teardown(function() app:stop() end)

  -- A new session; returns its name and the answer.
  local function create(args, more)
    count = count + 1
    local body = { session_id = "s" .. count, template = SVG, args = args or { x = 1 } }
    for name, value in pairs(more or {}) do body[name] = value end
    local res = app:post("/api/session", { json = body })
    return body.session_id, res
  end

  local function put(id, args, headers)
    return app:put("/api/session/" .. id, { json = { args = args }, headers = headers })
  end

  local function refused(status, code, res)
    assert.equal(status, res.status, res.body)
    assert.equal("application/json", res.headers["content-type"])
    local body = res:json()
    assert.equal(code, body.code)
    assert.equal("string", type(body.error))
    return body
  end

  it("are made, read, changed, listed and deleted", function()
    local id, res = create()
    assert.equal(201, res.status)
    assert.same({ session_id = id }, res:json())
    res = app:get("/api/session/" .. id)
    assert.equal(200, res.status)
    local rec = res:json()
    assert.equal(SVG, rec.template)
    assert.same({ x = 1 }, rec.args)
    assert.equal("1d", rec.expire)
    assert.equal(('"%d"'):format(rec.version), res.headers.etag)
    res = put(id, { x = 2 })
    assert.equal(200, res.status)
    assert.same({ session_id = id }, res:json())
    local found = false
    for _, item in ipairs(app:json("/api/session").items) do found = found or item.session_id == id end
    assert.is_true(found)
    assert.equal(204, app:delete("/api/session/" .. id).status)
    refused(404, "not_found", app:get("/api/session/" .. id))
    refused(404, "not_found", app:get("/svg/" .. id))
    refused(404, "not_found", put(id, { x = 3 }))
  end)

  it("are 409 when there is one of that name", function()
    local id = create()
    refused(409, "exists", app:post("/api/session", { json = { session_id = id, template = SVG,
      args = { x = 9 } } }))
    assert.equal(picture(1), app:get("/svg/" .. id).body)
  end)

  it("give arguments back exactly as they were sent", function()
    local id = create()
    local args = '{"x":1,"big":9223372036854775807,"float":1.0,"tiny":5e-324,"list":[],"object":{},'
      .. '"none":null,"text":"\\u00e4 \\ud83d\\ude00 <&>","deep":[[{"a":[]}]]}'
    local res = app:put("/api/session/" .. id, { body = '{"args":' .. args .. "}",
      headers = { ["Content-Type"] = "application/json" } })
    assert.equal(200, res.status, res.body)
    local body = app:get("/api/session/" .. id).body
    for _, part in ipairs { '"big":9223372036854775807', '"float":1.0', '"tiny":5e-324', '"list":[]',
      '"object":{}', '"none":null', "\u{e4} \u{1F600}", '"deep":[[{"a":[]}]]' } do
      assert.truthy(body:find(part, 1, true), part .. " in " .. body)
    end
  end)

  it("merge arguments by PATCH", function()
    local id = create { x = 1, y = { a = 1, b = 2 } }
    local res = app:patch("/api/session/" .. id, { body = '{"args":{"x":5,"y":{"a":null}}}',
      headers = { ["Content-Type"] = "application/merge-patch+json" } })
    assert.equal(200, res.status, res.body)
    assert.same({ x = 5, y = { b = 2 } }, app:json("/api/session/" .. id).args)
    assert.equal(picture(5), app:get("/svg/" .. id).body)
  end)

  it("escape arguments for XML, unless the template calls them safe", function()
    local id = create { x = '<script>"&\'</script>' }
    local body = app:get("/svg/" .. id).body
    assert.is_nil(body:find("<script>", 1, true))
    assert.truthy(body:find("&lt;script&gt;", 1, true))
    id = create({ x = "<g/>" }, { template = "<svg>{{ x | safe }}</svg>" })
    assert.equal("<svg><g/></svg>", app:get("/svg/" .. id).body)
  end)

  it("refuse templates that do not compile, with line and column", function()
    local id, res = create(nil, { template = "<svg>\n  {{ x | }}\n</svg>" })
    local err = refused(422, "template_error", res)
    assert.equal(2, err.line)
    assert.is_true(err.column > 1)
    refused(404, "not_found", app:get("/svg/" .. id))
  end)

  it("refuse changes that can't be rendered, and keep the old picture", function()
    local id = create()
    local stream = http.pictures(app, "/stream/" .. id)
    assert.equal(picture(1), stream:next())
    refused(422, "render_error", put(id, { y = 1 }))
    refused(422, "boundary", put(id, { x = "\n--frame\r\nContent-Type: text/html\r\n\r\n" }))
    assert.equal(picture(1), app:get("/svg/" .. id).body)
    assert.equal(200, put(id, { x = 2 }).status)
    assert.equal(picture(2), stream:next())
    stream:close()
  end)

  it("refuse bad names, expiries, bodies and types", function()
    for _, id in ipairs { "", "a:b", "a/b", "..", "ä", ("x"):rep(101) } do
      local body = refused(400, "invalid", app:post("/api/session", { json = { session_id = id,
        template = SVG } }))
      assert.equal("session_id", body.field)
    end
    for _, expire in ipairs { "", "1", "1w", "0s", "never" } do
      local _, res = create({ x = 1 }, { expire = expire })
      assert.equal("expire", refused(400, "invalid", res).field)
    end
    local function send(body, kind)
      return app:post("/api/session", { body = body, headers = { ["Content-Type"] = kind } })
    end
    refused(400, "bad_json", send("{", "application/json"))
    refused(400, "empty_body", send("", "application/json"))
    refused(400, "invalid", send("[]", "application/json"))
    refused(415, "wrong_type", send("{}", "text/plain"))
    refused(413, "too_large", send(("x"):rep(1100000), "application/json"))
    refused(413, "too_large", select(2, create(nil, { template = ("x"):rep(300000) })))
  end)

  it("answer 405 with Allow, OPTIONS and HEAD", function()
    local id = create()
    local res = app:delete "/api/session"
    refused(405, "method_not_allowed", res)
    assert.equal("GET, HEAD, OPTIONS, POST", res.headers.allow)
    res = http.request(app, "OPTIONS", "/api/session/" .. id)
    assert.equal(204, res.status)
    assert.equal("DELETE, GET, HEAD, OPTIONS, PATCH, PUT", res.headers.allow)
    for _, path in ipairs { "/svg/", "/stream/", "/api/session/" } do
      res = app:head(path .. id)
      assert.equal(200, res.status)
      assert.equal("", res.body)
    end
  end)

  it("keep their own expiry when they change, and end at it", function()
    local id = create({ x = 1 }, { expire = "4s" })
    local stream = http.pictures(app, "/stream/" .. id)
    assert.equal(picture(1), stream:next())
    local ends = app:json("/api/session/" .. id).expires_at
    assert.equal(200, put(id, { x = 2 }).status)
    assert.equal(ends, app:json("/api/session/" .. id).expires_at)
    assert.equal(picture(2), stream:next())
    assert.is_nil(stream:next())
    wait.till(function() return app:get("/api/session/" .. id).status == 404 end, "the end")
    refused(404, "not_found", app:get("/stream/" .. id))
  end)

  it("honour If-Match and If-None-Match", function()
    local id = create()
    local tag = app:get("/api/session/" .. id).headers.etag
    assert.equal(304, app:get("/api/session/" .. id, { headers = { ["If-None-Match"] = tag } }).status)
    local res = put(id, { x = 2 }, { ["If-Match"] = tag })
    assert.equal(200, res.status)
    assert.is_true(res.headers.etag ~= tag)
    refused(412, "precondition_failed", put(id, { x = 3 }, { ["If-Match"] = tag }))
    refused(412, "precondition_failed", app:delete("/api/session/" .. id,
      { headers = { ["If-Match"] = tag } }))
    assert.equal(picture(2), app:get("/svg/" .. id).body)
    assert.equal(204, app:delete("/api/session/" .. id,
      { headers = { ["If-Match"] = res.headers.etag } }).status)
  end)

  it("lose nothing when a hundred change them at once, each its own argument", function()
    local id = create { x = 0 }
    local open = {}
    for i = 1, 100 do
      local c = http.connect(app)
      c:send(http.format("PATCH", "/api/session/" .. id, { json = { args = { ["k" .. i] = i } } }))
      open[i] = c
    end
    for i = 1, 100 do
      local res = http.read_response(open[i], "PATCH", 30)
      assert.equal(200, res and res.status, res and res.body)
      open[i]:close()
    end
    local args = app:json("/api/session/" .. id).args
    for i = 1, 100 do assert.equal(i, args["k" .. i]) end
  end)

  it("send nothing for a change that changes nothing", function()
    local id = create()
    local stream = http.pictures(app, "/stream/" .. id)
    assert.equal(picture(1), stream:next())
    assert.equal(200, put(id, { x = 1 }).status)
    assert.equal(200, put(id, { x = 1, unseen = true }).status)
    assert.equal(200, put(id, { x = 2 }).status)
    assert.equal(picture(2), stream:next())
    assert.is_true(app:json("/api/session/" .. id).args.unseen == nil)
    stream:close()
  end)

  it("come in pages", function()
    for _ = 1, 5 do create() end
    local seen, cursor, pages = 0, nil, 0
    repeat
      local page = app:json("/api/session?limit=3" .. (cursor and "&cursor=" .. cursor or ""))
      seen, cursor, pages = seen + #page.items, page.next, pages + 1
    until not cursor or pages > 100
    local all = #app:json("/api/session").items
    assert.equal(all, seen)
    assert.is_true(pages >= 2)
    refused(400, "invalid", app:get "/api/session?limit=x")
  end)
end)


describe("streams", function()
  local app

  setup(function()
    app = server.start { workers = 2, set = { max_fps = 0, keepalive = "3s" } }
    app:post("/api/session", { json = { session_id = "a", template = SVG, args = { x = 1 } } })
  end)
  teardown(function() app:stop() end)

  local function put(x)
    assert.equal(200, app:put("/api/session/a", { json = { args = { x = x } } }).status)
  end

  it("open with a part's head and send the next one with each picture, in one piece", function()
    put(1)
    local c = http.connect(app)
    c:send(http.format("GET", "/stream/a"))
    local res = http.read_head(c)
    assert.equal(200, res.status)
    assert.equal("multipart/x-mixed-replace; boundary=frame", res.headers["content-type"])
    assert.is_nil(res.headers["content-length"])
    local head = "--frame\r\nContent-Type: image/svg+xml\r\n\r\n"
    local first = head .. picture(1) .. "\r\n" .. head
    assert.equal(first, c:read(#first))
    put(2)
    local second = picture(2) .. "\r\n" .. head
    assert.equal(second, c:read(#second))
    c:close()
  end)

  it("begin with bytes to skip for an <img> of another origin", function()
    put(1)
    local stream = http.connect(app)
    stream:send(http.format("GET", "/stream/a", { headers = { Accept = "image/avif,*/*",
      ["Sec-Fetch-Site"] = "cross-site", ["Sec-Fetch-Dest"] = "image" } }))
    assert.equal(200, http.read_head(stream).status)
    local head = "--frame\r\nContent-Type: image/svg+xml\r\n\r\n"
    local preamble = stream:read_until("\r\n" .. head)
    assert.is_true(#preamble >= 1024)
    assert.is_nil(preamble:sub(1, -#head - 3):find("%S"))
    assert.equal(picture(1) .. "\r\n" .. head, stream:read(#(picture(1) .. "\r\n" .. head)))
    stream:close()
  end)

  it("carry the headers of a stranger's picture", function()
    for _, path in ipairs { "/stream/a", "/svg/a" } do
      local res = app:head(path)
      assert.equal(POLICY, res.headers["content-security-policy"])
      assert.equal("nosniff", res.headers["x-content-type-options"])
      assert.equal("no-store", res.headers["cache-control"])
    end
    assert.equal("image/svg+xml", app:get("/svg/a").headers["content-type"])
    assert.equal("no", app:head("/stream/a").headers["x-accel-buffering"])
  end)

  it("reach viewers of all workers, in order, ending on the newest", function()
    put(0)
    local viewers = {}
    for i = 1, 8 do viewers[i] = http.pictures(app, "/stream/a") end
    for i = 1, 50 do put(i) end
    for _, viewer in ipairs(viewers) do
      local last = -1
      repeat
        local x = tonumber(viewer:next():match "<text>(%d+)</text>")
        assert.is_true(x >= last, ("%d after %d"):format(x, last))
        last = x
      until x == 50
      viewer:close()
    end
  end)

  it("repeat the newest picture after a silence", function()
    put(7)
    local stream = http.pictures(app, "/stream/a")
    assert.equal(picture(7), stream:next())
    assert.equal(picture(7), stream:next())
    stream:close()
  end)

  it("are events where they are asked for", function()
    put(1)
    local events = http.events(app, "/stream/a")
    assert.equal(200, events.status)
    assert.equal("text/event-stream", events.headers["content-type"]:match "^[^;]*")
    local event = events:next()
    assert.equal(picture(1), event.data)
    local retry = tonumber(event.retry)
    assert.is_true(retry >= 1000 and retry <= 2000)
    put(2)
    event = events:next()
    assert.equal(picture(2), event.data)
    assert.equal(tostring(app:json("/api/session/a").version), event.id)
    events:close()
  end)

  it("are events with pictures of several lines", function()
    app:post("/api/session", { json = { session_id = "lines", template = "<svg>\n\r\n{{ x }}\r</svg>",
      args = { x = 1 } } })
    local events = http.events(app, "/stream/lines")
    assert.equal("<svg>\n\n1\n</svg>", events:next().data)
    events:close()
  end)

  it("are a page in a person's tab", function()
    local tab = { ["Sec-Fetch-Dest"] = "document", Accept = "text/html" }
    local res = app:get("/stream/a", { headers = tab })
    assert.equal(200, res.status)
    assert.equal("text/html; charset=utf-8", res.headers["content-type"])
    assert.truthy(res.body:find('<img src="/stream/a?raw=1"', 1, true))
    local stream = http.pictures(app, "/stream/a?raw=1", { headers = tab })
    assert.equal(200, stream.status)
    assert.truthy(stream:next())
    stream:close()
    res = app:get("/stream/nothing", { headers = tab })
    assert.equal(404, res.status)
    assert.equal("text/html; charset=utf-8", res.headers["content-type"])
  end)

  it("end when their session is deleted", function()
    app:post("/api/session", { json = { session_id = "gone", template = SVG, args = { x = 1 } } })
    local stream = http.pictures(app, "/stream/gone")
    local events = http.events(app, "/stream/gone")
    assert.equal(picture(1), stream:next())
    assert.equal(picture(1), events:next().data)
    assert.equal(204, app:delete("/api/session/gone").status)
    assert.is_nil(stream:next())
    app:post("/api/session", { json = { session_id = "gone", template = SVG, args = { x = 2 } } })
    stream = http.pictures(app, "/stream/gone")
    assert.equal(picture(2), stream:next())
    stream:close()
    events:close()
  end)

  it("give the newest picture once under /svg, conditionally", function()
    put(1)
    local res = app:get "/svg/a"
    assert.equal(picture(1), res.body)
    local headers = { ["If-None-Match"] = res.headers.etag }
    assert.equal(304, app:get("/svg/a", { headers = headers }).status)
    put(2)
    res = app:get("/svg/a", { headers = headers })
    assert.equal(200, res.status)
    assert.equal(picture(2), res.body)
  end)

  it("are 404 without a session", function()
    for _, path in ipairs { "/stream/nothing", "/stream/u/a", "/stream/a%3Ab", "/svg/nothing" } do
      assert.equal(404, app:get(path).status, path)
    end
  end)
end)


describe("bursts", function()
  it("reach the wire at most max_fps times a second, the first at once, the newest last", function()
    local app = server.start { workers = 1, set = { max_fps = 5 } }
    app:post("/api/session", { json = { session_id = "a", template = SVG, args = { x = 0 } } })
    local stream = http.pictures(app, "/stream/a")
    assert.equal(picture(0), stream:next())
    local began = wait.now()
    for i = 1, 40 do app:put("/api/session/a", { json = { args = { x = i } } }) end
    local sent = 1
    while stream:next() ~= picture(40) do sent = sent + 1 end
    local seconds = wait.now() - began
    assert.is_true(sent <= math.ceil(seconds * 5) + 1, ("%d in %g s"):format(sent, seconds))
    stream:close()
    app:stop()
  end)
end)


describe("a restart", function()
  it("loses no session that was acknowledged, and viewers get the newest", function()
    local app = server.start { workers = 2 }
    app:post("/api/session", { json = { session_id = "a", template = SVG, args = { x = 1 } } })
    app:put("/api/session/a", { json = { args = { x = 2 } } })
    local stream = http.pictures(app, "/stream/a")
    assert.equal(picture(2), stream:next())
    app:crash()
    local again = app:restart()
    assert.equal(picture(2), again:get("/svg/a").body)
    stream = http.pictures(again, "/stream/a")
    assert.equal(picture(2), stream:next())
    stream:close()
    again:stop()
  end)
end)
