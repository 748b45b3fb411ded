-- Scripts that go wrong: the request gets an answer, the others don't notice, the server goes on.
local at_rest = require "spec.support.at_rest"
local http = require "spec.support.http"
local process = require "spec.support.process"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local function route(path, code)
  return ('return { path = "%s", GET = function(req)\n%s\nend }'):format(path, code)
end

local FILES = {
  ["lua/routes/fine.lua"] = route("/fine", "return { body = 'fine' }"),
  ["lua/routes/raises.lua"] = route("/raises", "error('a secret of the source')"),
  ["lua/routes/nothing.lua"] = route("/nothing", "return nil"),
  ["lua/routes/number.lua"] = route("/number", "return { body = 5 }"),
  ["lua/routes/inject.lua"] = route("/inject", "return { headers = { ['X-A'] = 'a\\r\\nB: c' } }"),
  ["lua/routes/own.lua"] = route("/own", "return { headers = { ['Content-Length'] = '5' } }"),
  ["lua/routes/status.lua"] = route("/status", "return { status = 99 }"),
  ["lua/routes/loop.lua"] = route("/loop", "while true do pcall(function() while true do end end) end"),
  ["lua/routes/hog.lua"] = route("/hog", "local t = {} while true do t[#t + 1] = ('x'):rep(1e5) .. #t end"),
  ["lua/routes/global.lua"] = route("/global", "leaked = 1"),
  ["lua/routes/typo.lua"] = route("/typo", "return { body = wbe.text }"),
  ["lua/routes/table.lua"] = route("/table", "error({ any = 'thing' })"),
  ["lua/routes/nil.lua"] = route("/nil", "error(nil)"),
  ["lua/routes/kept.lua"] = [[
local kept
return {
  { path = "/keep", GET = function(req) kept = req.x return { body = "kept" } end },
  { path = "/kept", GET = function(req) return { body = kept:header "host" } end },
}]],
  ["lua/routes/chunks.lua"] = [[
return {
  { path = "/chunks", GET = function()
    return { type = "text/plain", chunks = function(write) for i = 1, 3 do write("line " .. i .. "\n") end end }
  end },
  { path = "/cut", GET = function()
    return { type = "text/plain", chunks = function(write) write "begin" error "in the middle" end }
  end },
}]],
  ["lua/routes/late.lua"] = [[
local time = require "host.time"
return {
  { path = "/wait", GET = function() time.sleep(0.05) return { body = "waited" } end },
  { path = "/wrapped", GET = function()
    return { body = coroutine.wrap(function() time.sleep(0.01) end)() }
  end },
  { path = "/sort", GET = function()
    table.sort({ 3, 1, 2 }, function() time.sleep(0.01) end)
    return { body = "sorted" }
  end },
}]],
}

describe("a script", function()
  local app

  setup(function()
    app = server.start {
      files = FILES,
      workers = 1,
      set = { ["lua.memory"] = "16M", ["lua.time_ms"] = 2000 },
    }
  end)

  teardown(function() app:stop() end)

  after_each(function()
    assert.equal("fine", app:get("/fine").body)
  end)

  it("that raises is answered 500 with the request id, and nothing of its source", function()
    local res = app:get("/raises", { headers = { ["X-Request-ID"] = "abc-1" } })
    assert.equal(500, res.status)
    assert.equal("abc-1", res.headers["x-request-id"])
    assert.equal("internal", res:json().code)
    assert.is_nil(res.body:find("secret", 1, true))
    local line = app:logged "a secret of the source"
    assert.equal("abc-1", line.request_id)
    assert.matches("raises.lua:2", line.trace)
  end)

  it("that returns what is no response is answered 500, and the log says what it was", function()
    assert.equal(500, app:get("/nothing").status)
    app:logged "a route must return a response"
    assert.equal(500, app:get("/number").status)
    app:logged "a response's body must be a string, got number"
    assert.equal(500, app:get("/status").status)
    app:logged "an integer from 200 to 599"
  end)

  it("can put no second header into one, and none that is the server's own", function()
    local res = app:get "/inject"
    assert.equal(500, res.status)
    assert.is_nil(res.headers.b)
    assert.equal(500, app:get("/own").status)
  end)

  it("that never ends is ended, while others are answered", function()
    local c = app:connect()
    c:send(http.format("GET", "/loop"))
    assert.equal("fine", app:get("/fine").body)
    local res = http.read_response(c)
    assert.equal(500, res.status)
    app:logged "ran out of its time budget"
    assert.is_true(app:metric "lunacast_scripts_stopped_total" >= 1)
    c:close()
  end)

  it("that takes all memory is ended, and gives it back", function()
    assert.equal(500, app:get("/hog").status)
    app:logged "not enough memory"
    for _ = 1, 20 do assert.equal("fine", app:get("/fine").body) end
  end)

  it("that sets or reads a global by mistake is told the name", function()
    assert.equal(500, app:get("/global").status)
    app:logged "assignment to global 'leaked'"
    assert.equal(500, app:get("/typo").status)
    app:logged "no global 'wbe'"
  end)

  it("may raise any value", function()
    assert.equal(500, app:get("/table").status)
    assert.equal(500, app:get("/nil").status)
  end)

  it("that keeps a request finds it closed later", function()
    app:get "/keep"
    assert.equal(500, app:get("/kept").status)
    app:logged "this request is over"
  end)

  it("waits without holding up others", function()
    local c = app:connect()
    c:send(http.format("GET", "/wait"))
    assert.equal("fine", app:get("/fine").body)
    assert.equal("waited", http.read_response(c).body)
    c:close()
  end)

  it("is told where it can't wait", function()
    assert.equal(500, app:get("/wrapped").status)
    app:logged "a coroutine of your own"
    assert.equal(500, app:get("/sort").status)
    app:logged "a C function"
  end)

  it("writes an answer in pieces", function()
    local res = app:get "/chunks"
    assert.equal("line 1\nline 2\nline 3\n", res.body)
    assert.is_nil(res.cut)
  end)

  it("that raises in the middle of an answer resets the connection: no false clean end", function()
    local c = app:connect()
    c:send(http.format("GET", "/cut"))
    local res = http.read_response(c)
    assert.is_true(res == nil or res.cut == "cut")
    app:logged "in the middle"
    c:close()
  end)

  it("is cancelled when the peer goes away", function()
    local function tasks() return app:metric 'lunacast_tasks{worker="0"}' end
    local resident = at_rest(tasks)
    for _ = 1, 20 do
      local c = app:connect()
      c:send(http.format("GET", "/wait"))
      c:close()
    end
    wait.till(function() return tasks() <= resident end, "the tasks to end")
  end)
end)


describe("development", function()
  it("shows file, line and source of what was raised", function()
    local app = server.start { files = FILES, set = { dev = true } }
    local text = app:get "/raises".body
    assert.matches("raises.lua:2", text)
    assert.matches("> +2 ", text)
    local page = app:get("/raises", { headers = { Accept = "text/html" } })
    assert.matches("text/html", page.headers["content-type"])
    app:stop()
  end)
end)


describe("a script that does not load", function()
  local function refused(files)
    local app = server.launch { files = files }
    assert.equal(1, (app.process:wait(30)))
    return app.process.err
  end

  it("keeps the server from starting, with file and line", function()
    assert.matches("broken.lua:2:", refused { ["lua/routes/broken.lua"] = "return {\n} }" })
  end)

  it("is refused when it is no regular file, instead of being waited for", function()
    local folder = server.folder()
    server.write(folder, { ["lua/routes/fine.lua"] = route("/fine", "return {}") })
    assert.equal(0, (process.spawn("mkfifo", { folder .. "/lua/routes/pipe.lua" }):wait(5)))
    local app = server.launch { folder = folder }
    assert.equal(1, (app.process:wait(30)))
    assert.matches("pipe.lua: not a regular file", app.process.err)
  end)

  it("is refused when its folder can't be read, instead of being left out", function()
    local folder = server.folder()
    server.write(folder, { ["lua/routes"] = "no folder" })
    local app = server.launch { folder = folder }
    assert.equal(1, (app.process:wait(30)))
    assert.matches("lua/routes: Not a directory", app.process.err)
  end)

  it("is told that it can't wait at load", function()
    local err = refused {
      ["lua/routes/early.lua"] = "require('host.time').sleep(1) return { path = '/early' }",
    }
    assert.matches("cannot wait here", err)
  end)

  it("names both files of two routes that collide", function()
    local err = refused {
      ["lua/routes/one.lua"] = route("/same", "return {}"),
      ["lua/routes/two.lua"] = route("/same", "return {}"),
    }
    assert.matches("one.lua", err)
    assert.matches("two.lua", err)
  end)
end)
