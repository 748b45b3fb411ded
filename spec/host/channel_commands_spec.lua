-- Topics and connections from the command line.
local http = require "spec.support.http"
local json = require "host.json"
local process = require "spec.support.process"
local redis = require "spec.support.redis"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"

local BINARY = uv.fs_realpath(server.BINARY)


local function words(app, ...)
  local list = { ... }
  list[#list + 1], list[#list + 2] = "--app", app.folder
  return list
end

local function run(app, ...)
  return process.run(BINARY, words(app, ...))
end

-- A command that prints for ever.
local function begin(app, ...)
  return process.spawn(BINARY, words(app, ...))
end

local function finish(p)
  p:kill "sigterm"
  p:wait()
end


describe("lunacast sub and pub", function()
  it("carry messages and values", function()
    local app = server.start { workers = 2 }
    local log, latest = begin(app, "sub", "room", "--mode", "log"), begin(app, "sub", "lamp")
    wait.till(function()
      local topics = run(app, "topics", "--json").out
      return topics:find '"room"' and topics:find '"lamp"'
    end)
    for n = 1, 3 do assert.equal(0, run(app, "pub", "room", "m" .. n, "--mode", "log").code) end
    assert.equal(0, run(app, "pub", "lamp", "on", "--mode", "latest").code)
    wait.till(function() return log.out == "m1\nm2\nm3\n" end, "the messages")
    wait.till(function() return latest.out == "on\n" end, "the value")
    assert.equal("on\n", run(app, "sub", "lamp", "--count", "1").out)
    finish(log)
    finish(latest)
    app:stop()
  end)

  it("end with --once when the server ends, without holding it up", function()
    local app = server.start {}
    local sub = begin(app, "sub", "room", "--once")
    wait.till(function() return run(app, "topics", "--json").out:find '"room"' end)
    local began = wait.now()
    app:stop()
    assert.is_true(wait.now() - began < 20) -- the drain is 30
    assert.equal(1, (sub:wait()))
    assert.matches("the server has ended the stream", sub.err)
  end)

  it("wait for a server that is restarted, say so, and go on", function()
    local app = server.start {}
    local sub, tail = begin(app, "sub", "room"), begin(app, "tail", "r")
    wait.till(function() return run(app, "topics", "--json").out:find '"room"' end)
    run(app, "pub", "room", "before")
    wait.till(function() return sub.out == "before\n" and tail.out:find "before" end)
    app:stop()
    for _, p in ipairs { sub, tail } do
      wait.till(function() return p.err:find "the server has ended the stream; waiting" end, "the word")
    end
    app = app:restart()
    for _, p in ipairs { sub, tail } do
      wait.till(function() return p.err:find "it is back; what was published meanwhile was not seen" end)
    end
    wait.till(function()
      run(app, "pub", "room", "after")
      return sub.out:find "after\n" and tail.out:find "after\n"
    end)
    for _, p in ipairs { sub, tail } do
      assert.is_true(p:running())
      finish(p)
    end
    app:stop()
  end)

  it("go on after the last message, where the topic keeps a history", function()
    local bus = redis.start()
    local files = { ["lua/topics/kept.lua"] = "return { rules = { ['kept'] = { mode = 'log', history = {} } } }" }
    local set = { ["redis.url"] = bus.url }
    local app, other = server.start { files = files, set = set }, server.start { files = files, set = set }
    local sub = begin(app, "sub", "kept")
    wait.till(function() return run(app, "topics", "--json").out:find '"kept"' end)
    run(other, "pub", "kept", "1")
    wait.till(function() return sub.out == "1\n" end, "the first")
    app:crash()
    wait.till(function() return sub.err:find "waiting until it is back" end)
    for _, word in ipairs { "2", "3" } do run(other, "pub", "kept", word) end
    app = app:restart()
    wait.till(function() return sub.out == "1\n2\n3\n" end, "what was missed")
    assert.is_nil(sub.err:find "not seen")
    finish(sub)
    app:stop()
    other:stop()
    bus:down()
  end)

  it("want a number that counts", function()
    local app = server.start {}
    for _, n in ipairs { "many", "0", "-1", "1.5" } do
      local p = run(app, "tail", "--count=" .. n)
      assert.equal(2, p.code)
      assert.matches("%-%-count wants a number from 1", p.err)
    end
    app:stop()
  end)

  it("end when their reader has had enough, and say so when there is no room", function()
    local app = server.start {}
    local sub = process.spawn("/bin/bash", { "-c",
      ('"%s" sub room --mode log --app "%s" | head -1; echo "code ${PIPESTATUS[0]}"')
        :format(BINARY, app.folder) })
    wait.till(function() return run(app, "topics", "--json").out:find '"room"' end)
    wait.till(function()
      run(app, "pub", "room", "hello", "--mode", "log")
      return not sub:running()
    end, "the end of sub")
    assert.equal("hello\ncode 0\n", sub.out)
    assert.equal("", sub.err)
    for _, command in ipairs { "status", "routes" } do
      local full = process.run("/bin/bash", { "-c",
        ('"%s" %s --app "%s" > /dev/full'):format(BINARY, command, app.folder) })
      assert.equal(1, full.code, command)
      assert.matches("can't be written: No space left", full.err)
    end
    app:stop()
  end)

  it("refuse what is no topic", function()
    local app = server.start {}
    for _, topic in ipairs { "", ("x"):rep(256) } do
      for _, p in ipairs { run(app, "sub", topic), run(app, "pub", topic, "x") } do
        assert.equal(1, p.code)
        assert.matches("a topic has 1 to 255 bytes", p.err)
      end
    end
    app:stop()
  end)

  it("know only two modes", function()
    local app = server.start {}
    local p = run(app, "pub", "room", "x", "--mode", "loud")
    assert.equal(1, p.code)
    assert.matches("log or latest", p.err)
    app:stop()
  end)
end)


describe("lunacast tail", function()
  it("shows what is published on every topic, on new ones too", function()
    local app = server.start { workers = 1 }
    local tail = begin(app, "tail", "session:")
    for _, id in ipairs { "a", "b" } do
      app:post("/api/session", { json = { session_id = id, template = "<svg>{{ n }}</svg>", args = { n = 1 } } })
    end
    local views = { http.pictures(app, "/stream/a"), http.pictures(app, "/stream/b") }
    wait.till(function() return tail.out:find "session:a  <svg>1" and tail.out:find "session:b  <svg>1" end)
    app:put("/api/session/b", { json = { args = { n = 2 } } })
    wait.till(function() return tail.out:find "%d%d:%d%d:%d%d  session:b  <svg>2</svg>\n" end)
    for _, view in ipairs(views) do view:close() end
    finish(tail)
    app:stop()
  end)
end)


describe("lunacast connections", function()
  it("lists who is connected, and says who is slow", function()
    local app = server.start { workers = 1 }
    assert.equal("no connections\n", run(app, "connections").err)
    app:post("/api/session", { json = { session_id = "a", template = "<svg>{{ n }}</svg>", args = { n = 1 } } })
    local view = http.pictures(app, "/stream/a")
    view:next()
    local rows
    wait.till(function()
      rows = json.decode(run(app, "connections", "--topic", "session:a", "--json").out)
      return #rows == 1
    end)
    assert.equal("mixed", rows[1].transport)
    assert.same({ "session:a" }, rows[1].topics)
    local text = run(app, "connections").out
    assert.matches("ID +TRANSPORT", text)
    assert.matches("mixed +0 .*up to date +session:a", text)
    view:close()
    app:stop()
  end)
end)
