-- Posts: owners, pages, versions, caches, on every database.
local databases = require "spec.support.databases"
local http = require "spec.support.http"
local json = require "host.json"
local server = require "spec.support.server"
local wait = require "spec.support.wait"


local function token_of(app, name)
  local body = { username = name, password = "password of " .. name }
  app:post("/auth/register", { json = body })
  return { Authorization = "Bearer " .. app:post("/auth/login", { json = body }):json().access_token }
end


local function write(app, who, title, body)
  return app:post("/posts", { headers = who, json = { title = title, body = body or "text" } })
end


local function merged(headers, more)
  local all = {}
  for name, value in pairs(headers) do all[name] = value end
  for name, value in pairs(more) do all[name] = value end
  return all
end


local function contract(kind, environment)
  describe("posts on " .. kind, function()
    local app, ann, ben

    setup(function()
      app = server.start { workers = 2, set = { ["password.ln"] = 10 }, env = environment() }
      ann, ben = token_of(app, "ann"), token_of(app, "ben")
    end)
    teardown(function() app:stop() end)

    it("are written, read, replaced and deleted", function()
      local res = write(app, ann, "First", "Hello \u{1F600}")
      assert.equal(201, res.status, res.body)
      local post = res:json()
      assert.equal("/posts/" .. post.id, res.headers.location)
      assert.equal("ann", post.author)
      assert.equal(post.created_at, post.updated_at)
      assert.same(post, app:get("/posts/" .. post.id, { headers = ben }):json())
      res = app:put("/posts/" .. post.id, { headers = ann, json = { title = "Second", body = "New" } })
      assert.equal(200, res.status, res.body)
      assert.equal("Second", res:json().title)
      assert.equal(post.created_at, res:json().created_at)
      assert.equal(204, app:delete("/posts/" .. post.id, { headers = ann }).status)
      assert.equal(404, app:get("/posts/" .. post.id, { headers = ann }).status)
      assert.equal(404, app:delete("/posts/" .. post.id, { headers = ann }).status)
    end)

    it("need a token, and are changed by their author only", function()
      local id = write(app, ann, "Mine"):json().id
      for _, path in ipairs { "/posts", "/posts/" .. id } do assert.equal(401, app:get(path).status) end
      assert.equal(401, app:post("/posts", { json = { title = "x", body = "y" } }).status)
      local res = app:put("/posts/" .. id, { headers = ben, json = { title = "x", body = "y" } })
      assert.equal(403, res.status)
      assert.equal("forbidden", res:json().code)
      assert.equal(403, app:delete("/posts/" .. id, { headers = ben }).status)
      assert.equal("Mine", app:get("/posts/" .. id, { headers = ben }):json().title)
    end)

    it("come in pages, the newest first, none twice while others are written", function()
      local cleo = token_of(app, "cleo")
      for i = 1, 7 do write(app, cleo, "page " .. i) end
      local seen, cursor = {}, nil
      repeat
        local query = "?author=cleo&limit=3" .. (cursor and "&cursor=" .. cursor or "")
        local page = app:get("/posts" .. query, { headers = ann }):json()
        for _, post in ipairs(page.items) do seen[#seen + 1] = post.title end
        cursor = page.next ~= json.null and page.next
        write(app, ann, "in between")
      until not cursor
      assert.same({ "page 7", "page 6", "page 5", "page 4", "page 3", "page 2", "page 1" }, seen)
      assert.equal("in between", app:get("/posts?limit=1", { headers = ann }):json().items[1].title)
      assert.same({}, app:get("/posts?author=nobody", { headers = ann }):json().items)
    end)

    it("show a change in every list at once, on every worker", function()
      local dora = token_of(app, "dora")
      for i = 1, 10 do
        local id = write(app, dora, "shown " .. i):json().id
        for _ = 1, 4 do
          local items = app:get("/posts?author=dora", { headers = dora }):json().items
          assert.equal(i, #items)
          assert.equal("shown " .. i, items[1].title)
          assert.equal("shown " .. i, app:get("/posts/" .. id, { headers = dora }):json().title)
        end
      end
    end)

    it("are changed only as they were read, when the client says so", function()
      local res = write(app, ann, "Tagged")
      local path, tag = res.headers.location, res.headers.etag
      assert.equal(304, app:get(path, { headers = merged(ann, { ["If-None-Match"] = tag,
        ["Cache-Control"] = "no-cache" }) }).status)
      local change = { title = "x", body = "y" }
      assert.equal(200, app:put(path, { headers = merged(ann, { ["If-Match"] = tag }), json = change }).status)
      assert.equal(412, app:put(path, { headers = merged(ann, { ["If-Match"] = tag }), json = change }).status)
      assert.equal(412, app:delete(path, { headers = merged(ann, { ["If-Match"] = tag }) }).status)
      assert.equal(204, app:delete(path, { headers = merged(ann, { ["If-Match"] = "*" }) }).status)
    end)

    it("take the changes of many at once, who name no version, one after the other", function()
      local id = write(app, ann, "Wanted"):json().id
      local sockets = {}
      for i = 1, 6 do
        sockets[i] = app:connect()
        sockets[i]:send(http.format("PUT", "/posts/" .. id, { headers = ann,
          json = { title = "by " .. i, body = "text" } }))
      end
      for _, c in ipairs(sockets) do
        local res = http.read_response(c, "PUT")
        assert.equal(200, res.status, res.body)
        c:close()
      end
      assert.equal(('"%d-7"'):format(id), app:get("/posts/" .. id, { headers = ann }).headers.etag)
    end)

    it("say that nothing has changed, from the cache too", function()
      local path = write(app, ann, "Known").headers.location
      local tag = app:get(path, { headers = ann }).headers.etag
      for _, more in ipairs { {}, {}, { ["Cache-Control"] = "no-cache" } } do
        more["If-None-Match"] = '"other", W/' .. tag
        for _, method in ipairs { "GET", "HEAD" } do
          local res = http.request(app, method, path, { headers = merged(ann, more) })
          assert.equal(304, res.status)
          assert.equal(tag, res.headers.etag)
          assert.equal("", res.body)
        end
        more["If-None-Match"] = '"other"'
        assert.equal(200, app:get(path, { headers = merged(ann, more) }).status)
      end
    end)

    it("take any text as text: SQL in every field changes nothing but the text", function()
      local evil = "'); drop table lunacast_posts; --"
      local res = write(app, ann, evil, evil)
      assert.equal(evil, app:get(res.headers.location, { headers = ann }):json().title)
      assert.equal(200, app:get("/posts?author=" .. evil:gsub("[^%w]", function(c)
        return ("%%%02X"):format(c:byte())
      end), { headers = ann }).status)
      for _, path in ipairs { "/posts/1%20or%201=1", "/posts/0", "/posts/-1", "/posts/x", "/posts?cursor=1;--",
        "/posts?limit=101", "/posts?limit=0", "/posts?order=id" } do
        assert.equal(400, app:get(path, { headers = ann }).status, path)
      end
      assert.equal(200, app:get("/posts", { headers = ann }).status)
    end)

    it("tell every wrong field, and take up to 200 characters and 64 KiB", function()
      local res = app:post("/posts", { headers = ann, json = { title = "", text = "x" } })
      local fields = {}
      for i, e in ipairs(res:json().errors) do fields[i] = e.field end
      assert.same({ "body", "title", "text" }, fields)
      assert.equal(201, write(app, ann, ("ä"):rep(200), ("x"):rep(65536)).status)
      assert.equal(400, write(app, ann, ("ä"):rep(201)).status)
      assert.equal(400, write(app, ann, "x", ("x"):rep(65537)).status)
    end)

    it("are told of as they are written, changed and deleted, also to who comes back", function()
      local events = http.events(app, "/posts/stream", { headers = merged(ben, {}) })
      local post = write(app, ann, "Live"):json()
      local function told()
        local e
        repeat e = events:next() until e == nil or e.data
        return e
      end
      local created = told()
      assert.same({ event = "created", post = post }, json.decode(created.data))
      local path = "/posts/" .. post.id
      app:put(path, { headers = ann, json = { title = "Changed", body = "x" } })
      assert.equal("Changed", json.decode(told().data).post.title)
      events:close()
      app:delete(path, { headers = ann })
      events = http.events(app, "/posts/stream", { headers = merged(ben, { ["Last-Event-ID"] = created.id }) })
      assert.equal("changed", json.decode(told().data).event)
      assert.same({ event = "deleted", post = { id = post.id } }, json.decode(told().data))
      events:close()
      assert.equal(401, app:get("/posts/stream").status)
    end)

    it("are there after the server was killed", function()
      local path = write(app, ann, "Durable").headers.location
      app:crash()
      app = app:restart()
      assert.equal("Durable", app:get(path, { headers = ann }):json().title)
    end)
  end)
end

for kind, environment in pairs(databases.drivers) do contract(kind, environment) end


describe("posts", function()
  it("of users who claimed their name elsewhere have an author too", function()
    local app = server.start { workers = 1, set = { ["password.ln"] = 10 } }
    local token = app:post("/api/auth/token", { json = { user_id = "old", password = "secret" } }):json().token
    local res = write(app, { Authorization = "Bearer " .. token }, "Hi")
    assert.equal(201, res.status, res.body)
    assert.equal("old", res:json().author)
    app:stop()
  end)

  it("describe themselves in /openapi.json", function()
    local app = server.start { workers = 1 }
    local document = app:get("/openapi.json"):json()
    assert.is_table(document.paths["/posts/{id}"].put.requestBody)
    assert.same({}, document.paths["/auth/login"].post.security)
    app:stop()
  end)

  it("keep whole answers for a minute, and make them anew for who asks", function()
    local app = server.start { workers = 1, set = { ["password.ln"] = 10 } }
    local ann = token_of(app, "ann")
    local path = write(app, ann, "Kept").headers.location
    local function hits() return app:metric "cache_hits_total" or 0 end
    app:get(path, { headers = ann })
    local before = hits()
    app:get(path, { headers = ann })
    wait.till(function() return hits() == before + 1 end)
    app:get(path, { headers = merged(ann, { ["Cache-Control"] = "no-cache" }) })
    assert.equal(before + 1, hits())
    app:stop()
  end)
end)
