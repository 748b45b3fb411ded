-- Commands that talk to a running server.
local http = require "spec.support.http"
local json = require "host.json"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"

local BINARY = uv.fs_realpath(server.BINARY)

local function says(word)
  return { ["lua/routes/word.lua"] = ('return { path = "/word", GET = function() return { body = "%s" } end }')
    :format(word) }
end

-- A command on a server's application.
local function lunacast(app, name, ...)
  return process.run(BINARY, { name, "--app", app.folder, "--data", app.data, ... })
end


describe("lunacast reload", function()
  it("returns when the new scripts serve", function()
    local app = server.start { files = says "one", set = { watch = false } }
    server.write(app.folder, says "two")
    local p = lunacast(app, "reload")
    assert.equal("generation 2 serves\n", p.out)
    assert.equal(0, p.code)
    assert.equal("two", app:get("/word").body)
    assert.same({ generation = 3 }, json.decode(lunacast(app, "reload", "--json").out))
    app:stop()
  end)

  it("prints file, line and source of what is wrong, with exit code 1", function()
    local app = server.start { files = says "one", set = { watch = false } }
    server.write(app.folder, { ["lua/routes/word.lua"] = "return {\n  path = = 1\n}" })
    local p = lunacast(app, "reload")
    assert.equal(1, p.code)
    assert.equal("", p.out)
    assert.matches("^lunacast: lua/routes/word%.lua:2: unexpected symbol near '='\n", p.err)
    assert.matches("> +2    path = = 1", p.err)
    assert.matches("generation 1, since %d%d%d%d%-", p.err)
    p = lunacast(app, "reload", "--json")
    assert.equal(1, p.code)
    assert.equal(2, json.decode(p.out).line)
    app:stop()
  end)

  it("says when no server runs, and how to start it", function()
    local folder = server.folder()
    local p = lunacast({ folder = folder, data = folder .. "/data" }, "reload")
    assert.equal(1, p.code)
    assert.matches("no server runs on " .. folder:gsub("%p", "%%%0"), p.err)
    assert.matches("lunacast run", p.err)
  end)
end)


describe("lunacast status", function()
  it("shows scripts, workers, memory, connections and store", function()
    local app = server.start { files = says "one", workers = 2 }
    local idle = app:connect()
    assert.equal(200, http.ask(idle, "GET", "/word").status)
    local p = lunacast(app, "status")
    assert.equal(0, p.code)
    assert.matches("scripts +generation 1 since", p.out)
    assert.matches("store +embedded, %d+ keys", p.out)
    assert.matches("redis +not used", p.out)
    assert.matches("WORKER +CONNECTIONS", p.out)
    local status = json.decode(lunacast(app, "status", "--json").out)
    assert.equal(2, #status.workers)
    assert.is_true(status.memory.resident > 1000000)
    assert.is_true(status.connections >= 1)
    idle:close()
    app:stop()
  end)

  it("has exit code 1 while the files are wrong", function()
    local app = server.start { files = says "one", set = { watch = false } }
    server.write(app.folder, { ["lua/routes/word.lua"] = "return {" })
    lunacast(app, "reload")
    local p = lunacast(app, "status")
    assert.equal(1, p.code)
    assert.matches("the files are wrong since", p.err)
    assert.matches("word%.lua:1:", p.err)
    server.write(app.folder, says "fixed")
    lunacast(app, "reload")
    assert.equal(0, lunacast(app, "status").code)
    app:stop()
  end)
end)


describe("lunacast sessions and topics", function()
  it("list what is there", function()
    local app = server.start {}
    assert.equal("no sessions\n", lunacast(app, "sessions").err)
    for _, id in ipairs { "a", "b" } do
      app:post("/api/session", { json = { session_id = id, template = "<svg>{{ n }}</svg>", args = { n = 1 } } })
    end
    local view = http.pictures(app, "/stream/b")
    view:next()
    assert.matches("SESSION ID +USER +VIEWERS +VERSION\nb +%- +%d.*\na +%-", lunacast(app, "sessions").out)
    local items = json.decode(lunacast(app, "sessions", "--json").out)
    assert.same({ "b", "a" }, { items[1].session_id, items[2].session_id })
    assert.matches("session:b", lunacast(app, "topics", "--prefix", "session:").out)
    assert.equal(2, lunacast(app, "topics", "--prefx", "session:").code)
    view:close()
    app:stop()
  end)
end)
