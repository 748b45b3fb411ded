-- New scripts go live while connections stay.
local http = require "spec.support.http"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local function says(word)
  return { ["lua/routes/word.lua"] = ('return { path = "/word", GET = function() return { body = "%s" } end }')
    :format(word) }
end

local SLOW = [[
local time = require "host.time"
return { path = "/slow", GET = function() time.sleep(1) return { body = "old" } end }
]]

local function answers(app, word)
  wait.till(function() return app:get("/word").body == word end, "the answer " .. word)
end


describe("a reload", function()
  it("goes live when a file is saved, without a signal #workers", function()
    local app = server.start { files = says "one" }
    answers(app, "one")
    server.write(app.folder, says "two")
    answers(app, "two")
    os.rename(app.folder .. "/lua/routes/word.lua", app.folder .. "/lua/routes/word.bak")
    wait.till(function() return app:get("/word").status == 404 end, "the route to go")
    server.write(app.folder, says "three")
    answers(app, "three")
    app:stop()
  end)

  it("goes live by SIGHUP where nothing is watched", function()
    local app = server.start { files = says "one", set = { watch = false } }
    server.write(app.folder, says "two")
    wait.pause(0.3)
    assert.equal("one", app:get("/word").body)
    app.process:kill "sighup"
    answers(app, "two")
    app:stop()
  end)

  it("keeps the old scripts when the new ones are wrong, and says what is wrong", function()
    local app = server.start { files = says "one" }
    server.write(app.folder, { ["lua/routes/word.lua"] = "return {{" })
    app:logged "the old ones serve on"
    app:logged "word.lua:1:"
    assert.equal("one", app:get("/word").body)
    server.write(app.folder, says "fixed")
    answers(app, "fixed")
    app:stop()
  end)

  it("lets a running request finish on the old code", function()
    local files = says "one"
    files["lua/routes/slow.lua"] = SLOW
    local app = server.start { files = files, workers = 1 }
    local c = app:connect()
    c:send(http.format("GET", "/slow"))
    wait.pause(0.2)
    server.write(app.folder, says "two")
    answers(app, "two")
    assert.equal("old", http.read_response(c).body)
    c:close()
    app:stop()
  end)

  it("comes one after the other where many ask at once, and ends on what was saved last #workers",
    function()
      local app = server.start { files = says "0", set = { watch = false } }
      for i = 1, 30 do
        server.write(app.folder, says(i))
        app.process:kill "sighup"
      end
      wait.till(function() -- workers do not change at the same moment
        for _ = 1, 20 do
          if app:get("/word").body ~= "30" then return false end
        end
        return true
      end, "all workers")
      app:stop()
    end)

  it("changes nothing of a shutdown that it meets #workers", function()
    for _, pause in ipairs { 0, 0.01, 0.05, 0.2 } do -- while the new scripts are read, built, swapped in
      local app = server.start { files = says "one", set = { watch = false } }
      server.write(app.folder, says "two")
      app.process:kill "sighup"
      wait.pause(pause)
      app.process:kill "sigterm"
      app.process:kill "sighup"
      -- By the ordered end, with nothing left behind; a second SIGTERM would be the quick one.
      assert.same({ 0, 0 }, { app.process:wait(40) }, app.process.err)
    end
  end)

  it("closes no connection and loses no picture", function()
    local app = server.start { files = says "0" }
    app:post("/api/session", { json = { session_id = "a", template = "<svg>{{ n }}</svg>", args = { n = 0 } } })
    local view, idle = http.pictures(app, "/stream/a"), app:connect()
    assert.equal("0", http.ask(idle, "GET", "/word").body)
    assert.equal("<svg>0</svg>", view:next())
    for n = 1, 5 do
      server.write(app.folder, says(tostring(n)))
      answers(app, tostring(n))
      assert.equal(200, app:put("/api/session/a", { json = { args = { n = n } } }).status)
      assert.equal(("<svg>%d</svg>"):format(n), view:next())
    end
    wait.till(function() return http.ask(idle, "GET", "/word").body == "5" end, "its worker, too")
    idle:close()
    view:close()
    app:stop()
  end)

  it("a hundred times leaves memory where it was #soak", function()
    local app = server.start {
      files = says "one",
      set = { watch = false },
      env = { ASAN_OPTIONS = "quarantine_size_mb=4:detect_leaks=1" }, -- freed memory is given back
    }
    local function reload(n)
      local seen = app:metric "lunacast_reloads_total" or 0
      for i = 1, n do
        app.process:kill "sighup"
        wait.till(function() return (app:metric "lunacast_reloads_total" or 0) >= seen + i end)
      end
    end
    reload(20)
    local before = app:metric "process_resident_memory_bytes"
    reload(80)
    assert.is_true(app:metric "process_resident_memory_bytes" < before * 1.5)
    app:stop()
  end)
end)


describe("a reload of templates and filters", function()
  local FILES = {
    ["lua/routes/page.lua"] = [[
      local web = require "web"
      return { path = "/page", GET = function() return web.render("page.html", { n = 1 }) end }
    ]],
    ["templates/page.html"] = "<p>one {{ n | mine }}</p>",
    ["lua/filters/mine.lua"] = "return function(v) return 'first ' .. v end",
  }

  it("goes live as one set", function()
    local app = server.start { files = FILES }
    assert.equal("<p>one first 1</p>", app:get("/page").body)
    server.write(app.folder, {
      ["templates/page.html"] = "<p>two {{ n | mine }}</p>",
      ["lua/filters/mine.lua"] = "return function(v) return 'second ' .. v end",
    })
    wait.till(function() return app:get("/page").body == "<p>two second 1</p>" end)
    app:stop()
  end)

  it("is refused when one is wrong, before any request sees it", function()
    local app = server.start { files = FILES }
    server.write(app.folder, { ["templates/page.html"] = "<p>\n{{ n | nosuch }}</p>" })
    app:logged "templates/page.html:2:"
    assert.equal("<p>one first 1</p>", app:get("/page").body)
    server.write(app.folder, { ["templates/page.html"] = FILES["templates/page.html"],
      ["lua/filters/mine.lua"] = "return function(v) return 'x'" })
    app:logged "mine.lua:1:"
    assert.equal("<p>one first 1</p>", app:get("/page").body)
    server.write(app.folder, { ["lua/filters/mine.lua"] = "return function() return 'fixed' end" })
    wait.till(function() return app:get("/page").body == "<p>one fixed</p>" end)
    app:stop()
  end)

  it("keeps what is read at first use with the scripts that read it", function()
    local files = {
      ["lua/late.lua"] = "return 'old'", ["templates/late.txt"] = "old",
      ["lua/routes/late.lua"] = [[
        local web = require "web"
        return {
          { path = "/module", GET = function() return web.text((require "late")) end },
          { path = "/template", GET = function() return web.render("late.txt", {}) end },
        }
      ]],
    }
    local app = server.start { files = files, workers = 1, set = { watch = false } }
    server.write(app.folder, { ["lua/late.lua"] = "return 'new'", ["templates/late.txt"] = "new" })
    assert.equal("old", app:get("/template").body)
    assert.equal("old", app:get("/module").body)
    app.process:kill "sighup"
    wait.till(function() return app:get("/module").body == "new" end)
    assert.equal("new", app:get("/template").body)
    app:stop()
  end)
end)
