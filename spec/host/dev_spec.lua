-- Development mode: pages follow the scripts, and show what is wrong with them.
local http = require "spec.support.http"
local json = require "host.json"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"

local PAGE = [[
local web = require "web"
return {
  { path = "/page", GET = function() return web.html "<!doctype html><body><h1>%s</h1></body>" end },
  { path = "/policy", GET = function()
    return web.with(web.html "<p>x", { ["Content-Security-Policy"] = "default-src 'none'; img-src *",
      ETag = '"x"' })
  end },
  { path = "/raise", GET = function() error "on purpose" end },
  { path = "/plain", GET = function() return web.text "</body>" end },
  { path = "/static", GET = function(req) return web.file(req, "public/a.html") end },
}
]]

local function start(files, options)
  options = options or {}
  options.files, options.workers = files, 1
  options.set = options.set or { dev = true }
  return server.start(options)
end


describe("development mode", function()
  it("adds a script to pages, and to nothing else", function()
    local app = start { ["lua/routes/page.lua"] = PAGE:format "one", ["public/a.html"] = "<body>a</body>" }
    local res = app:get "/page"
    assert.matches('<h1>one</h1><script src="/_dev/client%.js" data%-scripts="%d+%-1"></script></body>', res.body)
    assert.equal("no-store", res.headers["cache-control"])
    assert.matches('^<body>a<script src="/_dev/client.js".-</script></body>$', app:get("/static").body)
    assert.equal("</body>", app:get("/plain").body)
    assert.equal(200, app:get("/_dev/client.js").status)
    app:stop()
  end)

  it("widens a page's policy by its script, and lets no cache keep the page", function()
    local app = start { ["lua/routes/page.lua"] = PAGE:format "one" }
    local res = app:get "/policy"
    local policy = res.headers["content-security-policy"]
    assert.matches("default%-src 'none'; img%-src %*; script%-src +'self'; connect%-src +'self'", policy)
    assert.is_nil(res.headers.etag)
    app:stop()
  end)

  it("is not there without the setting", function()
    local app = start({ ["lua/routes/page.lua"] = PAGE:format "one" }, { set = { dev = false } })
    assert.equal("<!doctype html><body><h1>one</h1></body>", app:get("/page").body)
    assert.equal(404, app:get("/_dev").status)
    assert.equal(404, app:get("/_dev/events").status)
    app:stop()
  end)

  it("tells open pages of new scripts and of wrong ones", function()
    local app = start { ["lua/routes/page.lua"] = PAGE:format "one" }
    local events = http.events(app, "/_dev/events")
    local first = json.decode(events:next().data)
    assert.equal(1, first.generation)
    assert.matches('data%-scripts="' .. first.scripts:gsub("%-", "%%-"), app:get("/page").body)

    server.write(app.folder, { ["lua/routes/page.lua"] = "return {\n  path = = 1\n}" })
    local wrong = json.decode(events:next().data)
    assert.equal(1, wrong.generation)
    assert.equal(first.scripts, wrong.scripts)
    assert.equal("lua/routes/page.lua", wrong.error.file)
    assert.equal(2, wrong.error.line)
    assert.matches("> +2    path = = 1", wrong.error.excerpt)
    assert.equal(first.since, wrong.since)
    assert.matches("<h1>one</h1>", app:get("/page").body)

    server.write(app.folder, { ["lua/routes/page.lua"] = PAGE:format "two" })
    local fixed = json.decode(events:next().data)
    assert.equal(2, fixed.generation)
    assert.is_nil(fixed.error)
    assert.not_equal(first.scripts, fixed.scripts)
    assert.matches("<h1>two</h1>", app:get("/page").body)
    events:close()
    app:stop()
  end)

  it("follows files of pages too", function()
    local app = start { ["lua/routes/page.lua"] = PAGE:format "one", ["public/a.css"] = "a {}" }
    local events = http.events(app, "/_dev/events")
    events:next()
    server.write(app.folder, { ["public/a.css"] = "b {}" })
    assert.equal(2, json.decode(events:next().data).generation)
    events:close()
    app:stop()
  end)

  it("lists routes, filters, sessions and topics at /_dev, and the error of the last load", function()
    local app = start { ["lua/routes/page.lua"] = PAGE:format "one" }
    app:post("/api/session", { json = { session_id = "mine", template = "<svg>{{ n }}</svg>", args = { n = 1 } } })
    local page = app:get "/_dev"
    assert.equal(200, page.status)
    assert.matches("<code>&#x2F;policy</code></td><td><code>lua&#x2F;routes&#x2F;page%.lua:4</code>", page.body)
    assert.matches('href="/stream/mine"', page.body)
    assert.matches("<code>ago</code>", page.body)
    assert.is_nil(page.body:find('id="error"', 1, true))

    server.write(app.folder, { ["lua/routes/page.lua"] = "return {\n  path = = '<b>'\n}" })
    app:logged "the old ones serve on"
    page = app:get "/_dev"
    assert.matches("<code>lua&#x2F;routes&#x2F;page%.lua:2</code>: unexpected symbol", page.body)
    assert.matches("path = = &#x27;&lt;b&gt;", page.body)
    local all = app:get("/_dev", { headers = { Accept = "application/json" } }):json()
    assert.equal(2, all.state.error.line)
    assert.equal("mine", all.sessions[1].session_id)
    app:stop()
  end)

  it("shows an error of a handler as a page that goes away when it is fixed", function()
    local app = start { ["lua/routes/page.lua"] = PAGE:format "one" }
    local res = app:get("/raise", { headers = { Accept = "text/html" } })
    assert.equal(500, res.status)
    assert.matches("on purpose", res.body)
    assert.matches('<script src="/_dev/client.js"', res.body)
    assert.matches("script%-src +'self'", res.headers["content-security-policy"])
    app:stop()
  end)

  -- lunacast dev on an application of these files; give() waits until it is ready (again).
  local function develop(files)
    local folder = server.folder()
    server.write(folder, files)
    local p, seen = process.spawn(uv.fs_realpath(server.BINARY), { "dev", folder, "--listen", "127.0.0.1:0" }), 0
    return folder, p, function()
      local port
      wait.till(function()
        local _, last, found = p.out:find("ready on http://127.0.0.1:(%d+)\n", seen + 1)
        seen, port = last or seen, tonumber(found)
        return port
      end, "ready in " .. p.out .. p.err)
      return { host = "127.0.0.1", port = port }
    end
  end

  local FINE = "return { path = '/fine', GET = function() return { body = 'fine' } end }"

  -- What does not start: files, what each page says of it, the file and line in /_dev/events, and
  -- the same files in order.
  local BROKEN = {
    ["a route"] = {
      { ["lua/routes/a.lua"] = "return {\n  path = = 1\n}" },
      "lua/routes/a.lua:2: unexpected symbol near", "lua/routes/a.lua", 2,
      { ["lua/routes/a.lua"] = FINE },
    },
    ["a missing module"] = {
      { ["lua/routes/a.lua"] = "local x = require 'no.such'\n" .. FINE }, "no file '.-lua/no/such.lua'", nil, nil,
      { ["lua/routes/a.lua"] = FINE },
    },
    ["a template"] = {
      { ["lua/routes/a.lua"] = FINE, ["templates/card.svg"] = "<svg>\n{{ x | no_such }}</svg>" },
      "templates/card.svg:2: .-no_such", "templates/card.svg", 2,
      { ["templates/card.svg"] = "<svg/>" },
    },
    ["a plugin's settings"] = {
      { ["config.lua"] = "return { plugins = { { 'badge', nonsense = 1 } } }", ["lua/routes/a.lua"] = FINE },
      'config.lua:1: plugin "badge": nonsense is no setting', nil, nil, { ["config.lua"] = "return {}" },
    },
    ["config.lua"] = {
      { ["config.lua"] = "return {\n  log.level = 1\n}", ["lua/routes/a.lua"] = FINE },
      "config.lua:2: ", "config.lua", 2, { ["config.lua"] = "return {}" },
    },
    ["a setting"] = {
      { ["config.lua"] = "return { max_fbs = 1 }", ["lua/routes/a.lua"] = FINE }, "max_fbs", nil, nil,
      { ["config.lua"] = "return { max_fps = 10 }" },
    },
    ["a migration"] = {
      { ["lua/routes/a.lua"] = FINE, ["migrations/0001_x.sql"] = "create tabel x (y text);" },
      "migrations/0001_x.sql:1: ", "migrations/0001_x.sql", 1,
      { ["migrations/0001_x.sql"] = "create table x (y text);" },
    },
  }

  for what, case in pairs(BROKEN) do
    it(("shows what is wrong with %s that keeps the application from starting, and starts it when it is fixed")
      :format(what), function()
      local folder, p, ready = develop(case[1])
      local address = ready()
      local res = http.request(address, "GET", "/anything")
      assert.equal(500, res.status)
      assert.matches(case[2], res.body)
      local page = http.request(address, "GET", "/", { headers = { Accept = "text/html" } })
      assert.matches('<script src="/_dev/client.js"', page.body)
      assert.equal(200, http.request(address, "GET", "/_dev/client.js").status)
      assert.matches("Nothing is served yet", http.request(address, "GET", "/_dev").body)
      local events = http.events(address, "/_dev/events")
      local state = json.decode(events:next().data)
      events:close()
      assert.is_true(state.standing_in)
      if case[3] then assert.equal(case[3], state.error.file) end
      if case[4] then assert.equal(case[4], state.error.line) end

      server.write(folder, case[5])
      local before = address.port
      address = ready()
      assert.equal(before, address.port)
      assert.equal("fine", http.request(address, "GET", "/fine").body)
      assert.is_false(http.request(address, "GET", "/_dev", { headers = { Accept = "application/json" } })
        :json().state.standing_in)
      p:kill "sigterm"
      assert.equal(0, (p:wait(40)))
    end)
  end

  it("shows the next problem when there are several", function()
    local folder, p, ready = develop { ["lua/routes/a.lua"] = "return nonsense(" }
    assert.matches("a.lua:1: unexpected symbol", http.request(ready(), "GET", "/").body)
    server.write(folder, { ["lua/routes/a.lua"] = "\n\nerror 'and now this'" })
    assert.matches("a.lua:3: and now this", http.request(ready(), "GET", "/").body)
    p:kill "sigterm"
    assert.equal(0, (p:wait(40)))
  end)

  local ROWS = [[
local sql, web = require "host.sql", require "web"
return { path = "/rows", GET = function()
  local rows, message = sql.query "select count(*) as n from notes"
  return web.json(rows and rows[1] or { message = message })
end }]]

  it("applies a migration that is added, before the scripts that came with it serve", function()
    local app = start { ["lua/routes/page.lua"] = PAGE:format "one" }
    server.write(app.folder, { ["migrations/0001_notes.sql"] = "create table notes (body text);",
      ["lua/routes/rows.lua"] = ROWS })
    local res = wait.till(function()
      local res = app:get "/rows"
      return res.status ~= 404 and res
    end)
    assert.same({ n = 0 }, res:json())

    server.write(app.folder, { ["migrations/0002_more.sql"] = "insert into notes values ('x')" })
    wait.till(function() return app:json("/rows").n == 1 end, "the second migration")
    app:stop()
  end)

  it("shows what is wrong with a migration that is added, and the scripts of before serve on", function()
    local app = start { ["lua/routes/page.lua"] = PAGE:format "one" }
    local events = http.events(app, "/_dev/events")
    events:next()
    server.write(app.folder, { ["migrations/0001_notes.sql"] = "-- the notes\n\ncreate tabel notes (body text);",
      ["lua/routes/page.lua"] = PAGE:format "two" })
    local state = json.decode(events:next().data)
    assert.equal(1, state.generation)
    assert.equal("migrations/0001_notes.sql", state.error.file)
    assert.equal(3, state.error.line)
    assert.matches("> +3  create tabel", state.error.excerpt)
    assert.matches("<h1>one</h1>", app:get("/page").body)
    assert.matches("0001_notes.sql", app:get("/_dev").body)

    server.write(app.folder, { ["migrations/0001_notes.sql"] = "create table notes (body text);" })
    wait.till(function() return app:get("/page").body:find "<h1>two</h1>" end, "the corrected application")

    server.write(app.folder, { ["migrations/0001_notes.sql"] = "create table notes (body text, at text);" })
    app:logged "it was changed after it was applied"
    server.write(app.folder, { ["migrations/0001_notes.sql"] = "create table notes (body text);" })
    wait.till(function()
      return not app:get("/_dev", { headers = { Accept = "application/json" } }):json().state.error
    end, "the old text to be fine")
    events:close()
    app:stop()
  end)

  it("ends at once when it is told to, though a migration waits for somebody", function()
    local app = start { ["lua/routes/page.lua"] = PAGE:format "one" }
    server.write(app.folder, { ["hold.lua"] = [[
      require("host.sql").transaction(function(tx)
        tx.query "create table held (a text)"
        io.stdout:write "held"
        io.stdout:flush()
        require("host.time").sleep(60)
      end, { timeout = 60 })]] })
    local other = process.spawn(uv.fs_realpath(server.BINARY), { "lua", app.folder .. "/hold.lua" },
      { env = { LUNACAST_DATA = app.data } })
    wait.till(function() return other.out:find "held" end, "the transaction")
    server.write(app.folder, { ["migrations/0001_notes.sql"] = "create table notes (body text);" })
    wait.till(function()
      local status = process.run(server.BINARY, { "status", app.folder })
      return status.out:find "generation 1" and other:running()
    end)
    wait.pause(1)
    app:stop(20)
    other:kill "sigkill"
    other:wait()
  end)

  it("an address that is taken ends it, as it ends `lunacast run`", function()
    local app = start { ["lua/routes/page.lua"] = FINE }
    local taken = "127.0.0.1:" .. app.port
    for _, command in ipairs { "dev", "run" } do
      local folder = server.folder()
      server.write(folder, { ["lua/routes/a.lua"] = "return nonsense(" })
      local p = process.spawn(uv.fs_realpath(server.BINARY), { command, folder, "--listen", taken })
      assert.equal(1, (p:wait(40)))
    end
    app:stop()
  end)

  it("is what `lunacast dev` begins, with a log for people", function()
    local folder = server.folder()
    server.write(folder, { ["lua/routes/page.lua"] = PAGE:format "one" })
    local p = process.spawn(uv.fs_realpath(server.BINARY), { "dev", folder, "--listen", "127.0.0.1:0" })
    wait.till(function() return p.out:find "ready on" end)
    local port = tonumber(p.out:match ":(%d+)\n")
    assert.equal(200, http.request({ host = "127.0.0.1", port = port }, "GET", "/_dev").status)
    wait.till(function() return p.err:find "path=" end)
    assert.is_nil(p.err:find '{"time"')
    p:kill "sigterm"
    assert.equal(0, (p:wait(40)))
  end)
end)
