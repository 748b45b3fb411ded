local App = require "spec.support.app"

local TEMPLATE = "<svg>{{ x }}</svg>"


describe("a public session", function()
  local app

  before_each(function()
    app = App.new()
  end)

  local function create(id, args, more)
    local body = { session_id = id, template = TEMPLATE, args = args or { x = 1 } }
    for name, value in pairs(more or {}) do body[name] = value end
    return app:post("/api/session", body)
  end

  local function refused(status, code, res)
    assert.equal(status, res.status, res.body)
    assert.equal(code, res.json.code)
    assert.truthy(#res.json.error > 5)
    return res.json
  end

  it("is made with 201 and its name", function()
    local res = create "a"
    assert.equal(201, res.status)
    assert.same({ session_id = "a" }, res.json)
    assert.equal("/api/session/a", res.headers.Location)
    assert.truthy(res.headers.ETag:find '^"%d+"$')
  end)

  it("lies in the store as one line of JSON and the picture", function()
    create "a"
    local value = app.store.rows["session:a"].value
    local head, svg = value:match "^([^\n]*)\n(.*)$"
    assert.equal("<svg>1</svg>", svg)
    assert.equal(TEMPLATE, app.world.json.decode(head).template)
  end)

  it("lives a day unless told", function()
    create "a"
    assert.equal(app.world.now + 86400, app.store.rows["session:a"].expires)
    create("b", nil, { expire = "90s" })
    assert.equal(app.world.now + 90, app.store.rows["session:b"].expires)
    assert.equal("1d", app:get("/api/session/a").json.expire)
    assert.equal("90s", app:get("/api/session/b").json.expire)
  end)

  it("refuses a wrong expiry", function()
    for _, expire in ipairs { "", "1w", "0s", "never", "9999d", "-1d" } do
      assert.equal("expire", refused(400, "invalid", create("a", nil, { expire = expire })).field)
    end
  end)

  it("refuses an illegal or empty name", function()
    for _, id in ipairs { "", "a:b", "a/b", "..", ("x"):rep(101), "ä" } do
      assert.equal("session_id", refused(400, "invalid", create(id)).field)
    end
  end)

  it("refuses what is missing, unknown or of a wrong type, with the field's name", function()
    assert.equal("template", refused(400, "invalid", app:post("/api/session", { session_id = "a" })).field)
    assert.equal("session_id", refused(400, "invalid", app:post("/api/session", { template = "x" })).field)
    assert.equal("arguments", refused(400, "invalid", create("a", nil, { arguments = {} })).field)
    assert.equal("args", refused(400, "invalid", create("a", "text")).field)
    assert.equal("template", refused(400, "invalid", create("a", nil, { template = "" })).field)
  end)

  it("refuses bodies that are not JSON", function()
    refused(400, "bad_json", app:post("/api/session", "{", { ["Content-Type"] = "application/json" }))
    refused(400, "empty_body", app:post("/api/session", ""))
    refused(415, "wrong_type", app:post("/api/session", "{}", { ["Content-Type"] = "text/plain" }))
  end)

  it("is refused when there is one of that name", function()
    create "a"
    refused(409, "exists", create("a", { x = 2 }))
    assert.equal("<svg>1</svg>", app:get("/svg/a").body)
  end)

  it("is refused when its template does not compile, with line and column", function()
    local err = refused(422, "template_error", create("a", nil, { template = "<svg>\n{% bad %}" }))
    assert.equal(2, err.line)
    assert.equal(5, err.column)
    assert.is_nil(app.store.rows["session:a"])
  end)

  it("is refused when its picture can't be rendered", function()
    refused(422, "render_error", create("a", { y = 1 }))
    assert.is_nil(app.store.rows["session:a"])
  end)

  it("is refused when its template is too long", function()
    refused(413, "too_large", create("a", nil, { template = ("x"):rep(262145) }))
  end)

  it("is refused when a line of the picture could forge a part", function()
    for _, x in ipairs { "\n--frame", "\r--frame\r\n", "\r\n--frames", "a\n--frame--" } do
      refused(422, "boundary", create("a", { x = x }))
    end
    refused(422, "boundary", create("a", { x = "--frame" }, { template = "{{ x }}" }))
    assert.equal(201, create("a", { x = " --frame -\n-frame" }).status)
  end)

  it("is read with template, arguments, expiry and version", function()
    create "a"
    local res = app:get "/api/session/a"
    assert.equal(200, res.status)
    assert.equal(TEMPLATE, res.json.template)
    assert.same({ x = 1 }, res.json.args)
    assert.equal('"' .. res.json.version .. '"', res.headers.ETag)
    assert.equal(app.world.now + 86400, res.json.expires_at)
    refused(404, "not_found", app:get "/api/session/b")
  end)

  it("is read conditionally", function()
    create "a"
    local tag = app:get("/api/session/a").headers.ETag
    assert.equal(304, app:get("/api/session/a", { ["If-None-Match"] = tag }).status)
    assert.equal(200, app:get("/api/session/a", { ["If-None-Match"] = '"1"' }).status)
  end)

  it("keeps its arguments exactly as they were sent", function()
    local text = '{"session_id":"a","template":"<svg>{{ x }}</svg>","args":{"x":1,"list":[],"object":{},'
      .. '"null":null,"int":9007199254740993,"float":0.1,"nested":[1,[null]]}}'
    assert.equal(201, app:post("/api/session", text).status)
    local args = app:get("/api/session/a").json.args
    assert.equal(app.world.json.null, args["null"])
    assert.equal(9007199254740993, args.int)
    assert.equal("integer", math.type(args.int))
    assert.equal(0.1, args.float)
    local body = app:get("/api/session/a").body
    assert.truthy(body:find('"list":%[%]'))
    assert.truthy(body:find('"object":{}', 1, true))
  end)

  it("changes its arguments as a whole by PUT, answered 200 with its name", function()
    create("a", { x = 1, y = 2 })
    local res = app:put("/api/session/a", { args = { x = 5 } })
    assert.equal(200, res.status)
    assert.same({ session_id = "a" }, res.json)
    assert.same({ x = 5 }, app:get("/api/session/a").json.args)
    assert.equal("<svg>5</svg>", app:get("/svg/a").body)
  end)

  it("merges arguments by PATCH", function()
    create("a", { x = 1, y = { z = 1, w = 2 } })
    local res = app:patch("/api/session/a", '{"args":{"x":2,"y":{"z":null}}}',
      { ["Content-Type"] = "application/merge-patch+json" })
    assert.equal(200, res.status)
    assert.same({ x = 2, y = { w = 2 } }, app:get("/api/session/a").json.args)
  end)

  it("needs args in PUT and PATCH", function()
    create "a"
    for _, method in ipairs { "put", "patch" } do
      refused(400, "invalid", app[method](app, "/api/session/a", {}))
      refused(400, "invalid", app[method](app, "/api/session/a", '{"args":[]}'))
      refused(400, "invalid", app[method](app, "/api/session/a", '{"args":null}'))
      refused(400, "invalid", app[method](app, "/api/session/a", '{"args":{},"expire":"1d"}'))
      refused(404, "not_found", app[method](app, "/api/session/b", { args = {} }))
    end
  end)

  it("raises its version with each change and publishes the picture once", function()
    create "a"
    local before = app:get("/api/session/a").json.version
    app:put("/api/session/a", { args = { x = 2 } })
    local after = app:get("/api/session/a").json.version
    assert.is_true(after > before)
    local last = app.hub.published[#app.hub.published]
    assert.same({ topic = "session:a", data = "<svg>2</svg>", version = after, ttl = 86400 }, last)
    assert.equal(2, #app.hub.published)
  end)

  it("has a version beyond those that a store has lost in a crash", function()
    create "a"
    local row = app.store.rows["session:a"]
    local value, version = row.value, row.version
    for i = 1, 20 do app:put("/api/session/a", { args = { x = i } }) end
    local seen = app:get("/api/session/a").json.version
    row = app.store.rows["session:a"]
    row.value, row.version = value, version
    app.world.now = app.world.now + 1
    app:put("/api/session/a", { args = { x = 99 } })
    assert.is_true(app:get("/api/session/a").json.version > seen)
  end)

  it("sends nothing when nothing changes", function()
    create "a"
    local tag = app:get("/api/session/a").headers.ETag
    local res = app:put("/api/session/a", { args = { x = 1 } })
    assert.equal(200, res.status)
    assert.equal(tag, res.headers.ETag)
    assert.equal(1, #app.hub.published)
  end)

  it("keeps new arguments that do not change the picture, and sends nothing", function()
    create "a"
    app:put("/api/session/a", { args = { x = 1, y = "unseen" } })
    assert.equal(1, #app.hub.published)
    assert.equal("unseen", app:get("/api/session/a").json.args.y)
  end)

  it("keeps the old picture when the new one can't be rendered", function()
    create "a"
    refused(422, "render_error", app:put("/api/session/a", { args = {} }))
    refused(422, "boundary", app:put("/api/session/a", { args = { x = "\n--frame" } }))
    assert.equal("<svg>1</svg>", app:get("/svg/a").body)
    assert.same({ x = 1 }, app:get("/api/session/a").json.args)
    assert.equal(1, #app.hub.published)
  end)

  it("keeps its own expiry when it is changed", function()
    create("a", nil, { expire = "90s" })
    app.world.now = app.world.now + 60
    app:put("/api/session/a", { args = { x = 2 } })
    assert.equal(app.world.now + 30, app.store.rows["session:a"].expires)
    assert.equal(30, app.hub.published[2].ttl)
    app.world.now = app.world.now + 31
    refused(404, "not_found", app:put("/api/session/a", { args = { x = 3 } }))
    refused(404, "not_found", app:get "/stream/a")
  end)

  it("honours If-Match", function()
    create "a"
    local tag = app:get("/api/session/a").headers.ETag
    local res = app:put("/api/session/a", { args = { x = 2 } }, { ["If-Match"] = tag })
    assert.equal(200, res.status)
    local function change(method, x, condition)
      return app:send(method, "/api/session/a", { args = { x = x } }, { ["If-Match"] = condition })
    end
    refused(412, "precondition_failed", change("PUT", 3, tag))
    refused(412, "precondition_failed", change("PATCH", 3, tag))
    refused(412, "precondition_failed", app:delete("/api/session/a", "", { ["If-Match"] = tag }))
    assert.equal(200, change("PUT", 3, res.headers.ETag).status)
    assert.equal(200, change("PUT", 4, "*").status)
  end)

  it("loses nothing when two change it at once", function()
    create("a", { x = 1 })
    local once = true
    app.store.before = function(operation)
      if operation == "cas" and once then
        once = false
        app:patch("/api/session/a", { args = { other = true } })
      end
    end
    assert.equal(200, app:patch("/api/session/a", { args = { mine = true } }).status)
    assert.same({ x = 1, other = true, mine = true }, app:get("/api/session/a").json.args)
  end)

  it("does not overwrite a change that If-Match did not know", function()
    create("a", { x = 1 })
    local tag = app:get("/api/session/a").headers.ETag
    local once = true
    app.store.before = function(operation)
      if operation == "cas" and once then
        once = false
        app:patch("/api/session/a", { args = { x = 2 } })
      end
    end
    local res = app:put("/api/session/a", { args = { x = 3 } }, { ["If-Match"] = tag })
    refused(412, "precondition_failed", res)
    assert.same({ x = 2 }, app:get("/api/session/a").json.args)
  end)

  it("gives up with 503 after losing races for seconds", function()
    create "a"
    local n = 10
    app.store.before = function(operation)
      if operation == "cas" then
        n = n + 1
        local row = app.store.rows["session:a"]
        row.version = "moved" .. n
      end
    end
    local res = app:put("/api/session/a", { args = { x = 2 } })
    refused(503, "busy", res)
    assert.equal("1", res.headers["Retry-After"])
  end)

  it("is 404 when it is deleted in the middle of a change", function()
    create "a"
    app.store.before = function(operation)
      if operation == "cas" then app.store.rows["session:a"] = nil end
    end
    refused(404, "not_found", app:put("/api/session/a", { args = { x = 2 } }))
  end)

  it("is deleted with 204, and its streams end", function()
    create "a"
    assert.equal(204, app:delete("/api/session/a").status)
    assert.equal("everywhere", app.hub.closed["session:a"])
    refused(404, "not_found", app:delete "/api/session/a")
    refused(404, "not_found", app:get "/api/session/a")
  end)

  it("has a higher version when it is made again", function()
    create "a"
    for i = 1, 20 do app:put("/api/session/a", { args = { x = i } }) end
    local before = app:get("/api/session/a").json.version
    app:delete "/api/session/a"
    app.world.now = app.world.now + 0.001
    create "a"
    assert.is_true(app:get("/api/session/a").json.version > before)
  end)

  it("is listed with others, in pages", function()
    assert.equal('{"items":[]}', app:get("/api/session").body)
    for _, id in ipairs { "a", "b", "c" } do create(id) end
    assert.same({ { session_id = "a" }, { session_id = "b" }, { session_id = "c" } },
      app:get("/api/session").json.items)
    local first = app:get("/api/session?limit=2").json
    assert.equal(2, #first.items)
    local second = app:get("/api/session?limit=2&cursor=" .. first.next).json
    assert.same({ { session_id = "c" } }, second.items)
    assert.is_nil(second.next)
    assert.equal(200, app:get("/api/sessions").status)
    refused(400, "invalid", app:get "/api/session?limit=0")
  end)

  it("answers 503 with Retry-After while the store is away", function()
    create "a"
    app.store.before = function() return "Redis is away", "unavailable" end
    for _, res in ipairs { create "b", app:get "/api/session/a", app:get "/api/session", app:get "/svg/a",
      app:get "/stream/a", app:delete "/api/session/a", app:put("/api/session/a", { args = { x = 2 } }) } do
      refused(503, "unavailable", res)
      assert.equal("1", res.headers["Retry-After"])
    end
  end)

  it("is sent with the write that stores it, and with nothing else", function()
    create "a"
    app.store.before = function(operation)
      if operation == "cas" then return "Redis is away", "unavailable" end
    end
    refused(503, "unavailable", app:put("/api/session/a", { args = { x = 2 } }))
    assert.equal(1, #app.hub.published)
  end)
end)


describe("a user's session", function()
  local app, ann, bob

  before_each(function()
    app = App.new()
    ann, bob = app:login "ann", app:login "bob"
  end)

  local function with(headers, more)
    local all = {}
    for name, value in pairs(headers) do all[name] = value end
    for name, value in pairs(more or {}) do all[name] = value end
    return all
  end

  local function create(headers)
    return app:post("/api/user/ann/session", { session_id = "s", template = TEMPLATE, args = { x = 1 } },
      with(headers))
  end

  it("is made, read, changed, listed and deleted with the owner's token", function()
    local res = create(ann)
    assert.equal(201, res.status)
    assert.same({ session_id = "s" }, res.json)
    assert.equal("/api/user/ann/session/s", res.headers.Location)
    assert.truthy(app.store.rows["user:ann:session:s"])
    local path = "/api/user/ann/session/s"
    assert.equal(200, app:get(path, with(ann)).status)
    res = app:put(path, { args = { x = 2 } }, with(ann))
    assert.equal(204, res.status)
    assert.is_nil(res.body)
    assert.equal(204, app:put(path, { args = { x = 2 } }, with(ann)).status)
    assert.equal(204, app:patch(path, { args = { y = 2 } }, with(ann)).status)
    for _, list in ipairs { "/api/user/ann/session", "/api/user/ann/sessions" } do
      assert.same({ { session_id = "s" } }, app:get(list, with(ann)).json.items)
    end
    assert.equal("<svg>2</svg>", app:get("/svg/ann/s").body)
    assert.equal(204, app:delete(path, "", with(ann)).status)
  end)

  local function each_call(headers, visit)
    local path = "/api/user/ann/session/s"
    visit(create(headers))
    visit(app:get("/api/user/ann/session", with(headers)))
    visit(app:get("/api/user/ann/sessions", with(headers)))
    visit(app:get(path, with(headers)))
    visit(app:put(path, { args = {} }, with(headers)))
    visit(app:patch(path, { args = {} }, with(headers)))
    visit(app:delete(path, "", with(headers)))
  end

  it("is closed to those without a token", function()
    create(ann)
    each_call({}, function(res)
      assert.equal(401, res.status)
      assert.truthy(res.headers["WWW-Authenticate"]:find '^Bearer error="missing_token"')
    end)
  end)

  it("is closed to those with a bad token", function()
    create(ann)
    for _, header in ipairs { "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "Bearer x",
      "Bearer kid9.ann.realtime-svg.9999999999", "Bearer k1.ann.other.9999999999",
      "Bearer kidk1.ann.realtime-svg.1" } do
      each_call({ Authorization = header }, function(res)
        assert.equal(401, res.status, header)
        assert.truthy(res.headers["WWW-Authenticate"]:find '^Bearer error="')
      end)
    end
  end)

  it("is closed to other users", function()
    create(ann)
    each_call(bob, function(res)
      assert.equal(403, res.status)
      assert.equal("forbidden", res.json.code)
    end)
    assert.truthy(app.store.rows["user:ann:session:s"])
  end)

  it("lists nobody else's sessions", function()
    create(ann)
    app:post("/api/session", { session_id = "s", template = "<svg/>" })
    assert.same({}, app:get("/api/user/bob/session", with(bob)).json.items)
    assert.same({ { session_id = "s" } }, app:get("/api/session").json.items)
  end)

  it("takes the word Bearer in any case", function()
    create(ann)
    local header = ann.Authorization:gsub("Bearer", "bearer")
    assert.equal(200, app:get("/api/user/ann/session", { Authorization = header }).status)
  end)
end)
