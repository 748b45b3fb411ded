-- Plugins end to end: what they add, in which order, what is refused, and how they end.
local at_rest = require "spec.support.at_rest"
local process = require "spec.support.process"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local FULL = [[
return {
  name = "full", version = "1.2",
  config = { greeting = { type = "string", default = "hello" } },
  setup = function(plugin, config)
    local hub = require "host.hub"
    local web = require "web"
    plugin:route { path = "/greet/{who}", GET = function(req)
      return web.text(config.greeting .. " " .. req.params.who)
    end }
    plugin:route {
      { path = "/page", GET = function() return plugin:render("page.html", { who = "<you>" }) end },
      { path = "/echo", WS = { message = function(ws, text) ws:send("echo " .. text) end } },
      { path = "/guarded", middleware = { "never" }, GET = function() return web.text "in" end },
    }
    plugin:middleware(function(req, next) return web.with(next(req), { ["X-Full"] = "yes" }) end)
    plugin:middleware("never", function() return web.text(403, "never") end)
    plugin:filter("shout", function(value) return value:upper() .. "!" end)
    plugin:test("loud", function(value) return value:find "!" ~= nil end)
    plugin:template_function("heart", { safe = true, call = function() return "<b>heart</b>" end })
    plugin:topic { prefixes = { "full:" }, read = function(topic) return "<svg>" .. topic .. "</svg>", 1 end }
    plugin:topic { rules = { ["closed.*"] = { subscribe = function() return false, "closed by full", "closed" end } } }
    plugin:route { path = "/may", GET = function()
      local ok, message, code = require("web.topics").may("subscribe", "closed.a", {})
      return web.json { ok = ok, message = message, code = code }
    end }
    plugin:route { path = "/topic", GET = function()
      local watch <close> = require("web.topics").open "full:x"
      return web.text(watch and hub.latest "full:x" or "none")
    end }
    plugin:health(function() return nil, "not today" end)
    plugin:static("/full/files", "public")
    plugin.log.info("set up", { greeting = config.greeting })
  end,
}]]

local FILES = {
  ["config.lua"] = 'return { plugins = { { "full", greeting = "good day" } } }',
  ["plugins/full/init.lua"] = FULL,
  ["plugins/full/templates/page.html"] =
    "{{ who | shout }}{% set word = 'a!' %}{% if word is loud %} loud{% endif %} {{ heart() }}",
  ["plugins/full/public/a.txt"] = "a file",
  ["plugins/full/routes/more.lua"] = [[
    return { path = "/more", GET = function() return { body = require "plugins.full.words" } end }]],
  ["plugins/full/words.lua"] = 'return "words of its own"',
  ["plugins/full/filters/thrice.lua"] = "return function(value) return value:rep(3) end",
}

local function plugin(name, body, more)
  return ('return { name = "%s", %s setup = function(plugin, config)\n%s\nend }'):format(name, more or "", body)
end

local function refused(files)
  local app = server.launch { files = files }
  assert.equal(1, (app.process:wait(30)), app.process.err)
  return app.process.err
end


describe("a plugin", function()
  local app

  setup(function() app = server.start { files = FILES, workers = 1 } end)
  teardown(function() app:stop() end)

  it("adds routes, one or a list, and those of its folder", function()
    assert.equal("good day ada", app:get("/greet/ada").body)
    assert.equal("words of its own", app:get("/more").body)
    local client = ws.connect(app, "/echo")
    client:text "hi"
    assert.equal("echo hi", client:read_text())
    client:close()
  end)

  it("puts its middleware around everything, also what nothing answers", function()
    assert.equal("yes", app:get("/greet/ada").headers["x-full"])
    assert.equal("yes", app:get("/health").headers["x-full"])
  end)

  it("lends middleware by name", function()
    assert.equal(403, app:get("/guarded").status)
  end)

  it("brings templates, filters, tests and functions", function()
    local page = app:get "/page"
    assert.equal("&lt;YOU&gt;! loud <b>heart</b>", page.body)
    assert.matches("text/html", page.headers["content-type"])
    assert.equal(201, app:post("/api/session", { json = {
      session_id = "t", template = "<svg>{{ 'a' | thrice }}{{ 'b' | shout }}</svg>",
    } }).status)
    assert.equal("<svg>aaaB!</svg>", app:get("/svg/t").body)
  end)

  it("brings topics, files and a health check", function()
    assert.equal("<svg>full:x</svg>", app:get("/topic").body)
    assert.same({ ok = false, message = "closed by full", code = "closed" }, app:json "/may")
    assert.equal("a file", app:get("/full/files/a.txt").body)
    assert.equal(404, app:get("/full/files/init.lua").status)
    local health = app:json "/health"
    assert.equal("degraded", health.status)
    assert.equal("not today", health.checks.full)
    assert.equal(503, app:get("/ready").status)
  end)

  it("logs with its name", function()
    local line = app:logged "set up"
    assert.equal("full", line.plugin)
    assert.equal("good day", line.greeting)
  end)

  it("has its time counted, and its failures", function()
    for _ = 1, 50 do app:get "/greet/ada" end
    wait.till(function() return (app:metric 'plugin_seconds_total{plugin="full"}' or 0) > 0 end)
  end)
end)


describe("the list of plugins", function()
  it("decides who stands outermost", function()
    local mark = 'plugin:middleware(function(req, next) local res = next(req) '
      .. 'res.body = res.body .. plugin.name return res end)'
    local app = server.start { workers = 1, files = {
      ["config.lua"] = 'return { plugins = { "b", "a" } }',
      ["plugins/a/init.lua"] = plugin("a", mark), ["plugins/b/init.lua"] = plugin("b", mark),
      ["lua/routes/x.lua"] = 'return { path = "/x", GET = function() return { body = "x" } end }',
    } }
    assert.equal("xab", app:get("/x").body)
    app:stop()
  end)

  it("sets up what a plugin requires before it, and hands over what that returns", function()
    local app = server.start { workers = 1, files = {
      ["config.lua"] = 'return { plugins = { "a", "b" } }',
      ["plugins/a/init.lua"] = plugin("a", [[
        local answer = plugin:use("b").answer
        plugin:route { path = "/a", GET = function() return { body = answer } end }]], 'requires = { "b" },'),
      ["plugins/b/init.lua"] = plugin("b", 'return { answer = "from b" }'),
    } }
    assert.equal("from b", app:get("/a").body)
    app:stop()
  end)

  it("may be empty, and may leave the shipped ones out", function()
    local app = server.start { workers = 1, files = { ["config.lua"] = "return { plugins = {} }" } }
    assert.equal(404, app:get("/badge/a/b.svg").status)
    app:stop()
  end)

  local A = { ["plugins/a/init.lua"] = plugin("a", "error 'setup ran'", [[config = {
    limit = { type = "integer", min = 1, max = 100 },
    mode = { type = "string", enum = { "soft", "hard" }, default = "soft" },
    origins = { type = "array", items = { type = "string" }, optional = true },
    nested = { fields = { deep = { type = "boolean", default = false } }, optional = true },
  },]]) }

  for text, expected in pairs {
    ['{ "a" }'] = 'config.lua:1: plugin "a": limit is missing; it must be a whole number',
    ['{ { "a", limit = "ten" } }'] = 'config.lua:1: plugin "a": limit must be a whole number, got string',
    ['{\n{ "a",\n limit = 1000 } }'] = 'config.lua:3: plugin "a": limit must be 1 to 100, got 1000',
    ['{ { "a", limit = 1, mode = "loud" } }'] = 'plugin "a": mode must be one of "soft", "hard", got "loud"',
    ['{ { "a", limit = 1, origin = {} } }'] = "plugin \"a\": origin is no setting of it, did you mean 'origins'?",
    ['{ { "a", limit = 1, origins = { "x", 5 } } }'] = 'plugin "a": origins[1] must be a string, got integer',
    ['{ { "a", limit = 1, nested = { deap = true } } }'] = "nested.deap is no setting of it, did you mean 'deep'?",
    ['{ { "a", limit = 1, off_after = 0 } }'] = "off_after must be a whole number of failures",
    ['{ "a", { "a" } }'] = 'plugin "a": is enabled twice',
    ['{ "badgee" }'] = "there is no folder plugins/badgee, did you mean 'badge'?",
    ['{ "../a" }'] = "a plugin's name is letters, digits, - and _",
    ['{ 5 }'] = "plugins[1] is a name",
    ['{ { "a", limit = 1 } }'] = "plugins/a: setup: ./plugins/a/init.lua",
  } do
    it("is refused where it is wrong: " .. text:gsub("%s+", " "), function()
      local files = { ["config.lua"] = "return { plugins = " .. text .. " }" }
      for name, source in pairs(A) do files[name] = source end
      local err = refused(files)
      err = err:gsub("[^%s]+/plugins/a/init.lua", "./plugins/a/init.lua")
      assert.is_truthy(err:find(expected, 1, true), err)
      if not expected:find "setup:" then assert.is_nil(err:find("setup ran", 1, true)) end
    end)
  end

  it("is refused where a required plugin is missing, or where they go in a circle", function()
    local function needs(name, other)
      return plugin(name, "", ('requires = { "%s" },'):format(other))
    end
    assert.matches('plugin "a" requires "b", which is not enabled', refused {
      ["config.lua"] = 'return { plugins = { "a" } }', ["plugins/a/init.lua"] = needs("a", "b"),
    })
    assert.matches("circle: a %-> b %-> a", refused {
      ["config.lua"] = 'return { plugins = { "a", "b" } }',
      ["plugins/a/init.lua"] = needs("a", "b"), ["plugins/b/init.lua"] = needs("b", "a"),
    })
  end)

  it("is refused where a plugin is none", function()
    for source, expected in pairs {
      ["return 5"] = "a plugin is a table",
      ['return { name = "b" }'] = 'its name is "b"; it must be the folder\'s',
      ['return { name = "a", setpu = print }'] = "setpu has no meaning in a plugin, did you mean 'setup'?",
      ['return { name = "a", setup = 5 }'] = "setup must be a function",
      ["return {{"] = "plugins/a/init.lua:1:",
      ['return { name = "a", config = { x = { type = "strnig" } } }'] = 'needs a type, got "strnig"',
    } do
      local err = refused { ["config.lua"] = 'return { plugins = { "a" } }', ["plugins/a/init.lua"] = source }
      assert.is_truthy(err:find(expected, 1, true), err)
    end
  end)

  it("is taken over by a reload, whole or not at all", function()
    local app = server.start { workers = 1, files = {
      ["config.lua"] = 'return { plugins = { { "full", greeting = "one" } } }',
      ["plugins/full/init.lua"] = FULL, ["plugins/full/templates/page.html"] = "x",
    } }
    assert.equal("one a", app:get("/greet/a").body)
    server.write(app.folder, { ["config.lua"] = 'return { plugins = { { "full", greeting = 2 } } }' })
    app:logged "the old ones serve on"
    app:logged "greeting must be a string, got integer"
    assert.equal("one a", app:get("/greet/a").body)
    server.write(app.folder, { ["config.lua"] = 'return { plugins = { { "full", greeting = "two" } } }' })
    wait.till(function() return app:get("/greet/a").body == "two a" end, "the new setting")
    server.write(app.folder, { ["config.lua"] = "return { plugins = {} }" })
    wait.till(function() return app:get("/greet/a").status == 404 end, "the plugin to go")
    app:stop()
  end)
end)


describe("a timer of a plugin #workers", function()
  local TICKS = [[
    local counter = plugin:counter("ticks_total", "ticks")
    for _, once_per in ipairs { "worker", "node", "cluster" } do
      plugin:every(0.1, function()
        require("host.time").sleep(0.01)
        counter:inc(1, { per = once_per })
      end, { once_per = once_per })
    end]]
  local files = {
    ["config.lua"] = 'return { plugins = { "ticks" } }', ["plugins/ticks/init.lua"] = plugin("ticks", TICKS),
  }
  local function ticks(app, per)
    return app:metric(('ticks_total{per="%s"}'):format(per)) or 0
  end

  it("runs once per worker, node or cluster", function()
    local app = server.start { workers = 2, files = files }
    wait.till(function() return ticks(app, "cluster") >= 10 end, "the ticks")
    local worker, node = ticks(app, "worker"), ticks(app, "node")
    assert.is_true(worker > 1.5 * node, ("%d per worker, %d per node"):format(worker, node))
    app:stop()
  end)

  it("runs on one of two nodes, and on the other when that one is gone", function()
    local redis = redis_server.start()
    local set = { ["redis.url"] = redis.url }
    local one = server.start { workers = 1, files = files, set = set }
    local two = server.start { workers = 1, files = files, set = set }
    local function both() return ticks(one, "cluster"), ticks(two, "cluster") end
    wait.till(function() local a, b = both() return a + b >= 10 end, "ticks of one")
    local a, b = both()
    assert.is_true(a == 0 or b == 0, ("%d and %d"):format(a, b))
    local holder, other = one, two
    if b > 0 then holder, other = two, one end
    holder:crash()
    wait.till(function() return ticks(other, "cluster") > 3 end, "the other node to take over")
    other:stop()
  end)

  it("goes on over a reload at the time at which it was due", function()
    local app = server.start { workers = 1, set = { watch = false }, files = {
      ["config.lua"] = 'return { plugins = { "slow" } }',
      ["plugins/slow/init.lua"] = plugin("slow", [[
        local counter = plugin:counter("slow_total", "slow")
        plugin:every(1.5, function() counter:inc() end, { once_per = "node" })]]),
    } }
    wait.till(function()
      app.process:kill "sighup"
      wait.pause(0.4)
      return (app:metric "slow_total" or 0) >= 1
    end, "a tick between the reloads")
    app:stop()
  end)
end)


describe("a plugin's timer", function()
  it("fails for itself: an error, an endless loop and a run without end leave the others alone", function()
    local app = server.start { workers = 1, files = {
      ["config.lua"] = 'return { plugins = { "bad" } }',
      ["plugins/bad/init.lua"] = plugin("bad", [[
        local good, loops = plugin:counter("good_total", ""), plugin:counter("loops_total", "")
        plugin:every(0.1, function() error "a timer's error" end)
        plugin:every(0.2, function() loops:inc() while true do end end, { once_per = "worker" })
        plugin:every(0.1, function() require("host.time").sleep(1000) end, { once_per = "node" })
        plugin:every(0.1, function() good:inc() end, { once_per = "node" })]]),
    } }
    app:logged "a timer's error"
    app:logged "a timer's last run has not ended"
    wait.till(function() return (app:metric "loops_total" or 0) >= 2 end, "a loop to be begun again")
    wait.till(function() return (app:metric "good_total" or 0) >= 5 end, "the good timer")
    assert.is_true(app:metric 'plugin_errors_total{plugin="bad"}' >= 3)
    app:stop()
  end)
end)


describe("a plugin's state", function()
  local COUNT = [[return {
    name = "count", version = "%s",
    setup = function(plugin)
      plugin.state = { n = 0 }
      plugin:route { path = "/count", GET = function()
        plugin.state.n = plugin.state.n + 1
        return { body = "%s " .. plugin.state.n .. (plugin.state.from or "") }
      end }
    end,
    save = function(plugin) return %s end,
    restore = function(plugin, state, version) %s plugin.state = state plugin.state.from = " from " .. version end,
  }]]
  local function files(version, save, restore)
    return { ["plugins/count/init.lua"] = COUNT:format(version, version, save or "plugin.state", restore or "") }
  end

  it("moves to newer code by save and restore", function()
    local first = files "1"
    first["config.lua"] = 'return { plugins = { "count" } }'
    local app = server.start { files = first, workers = 1 }
    assert.equal("1 1", app:get("/count").body)
    assert.equal("1 2", app:get("/count").body)
    server.write(app.folder, files "2")
    wait.till(function() return app:get("/count").body:find "^2 %d+ from 1" end, "the new code with the old state")
    server.write(app.folder, files("3", "print"))
    wait.till(function() return app:get("/count").body:find "^3 %d+ from 2" end, "version 3")
    server.write(app.folder, files("4", nil, "error 'no thanks'"))
    wait.till(function() return app:get("/count").body:find "^4 %d+$" end, "version 4 without state")
    assert.equal("count", app:logged "could not be saved".plugin)
    server.write(app.folder, files("5", nil, "error 'no thanks'"))
    wait.till(function() return app:get("/count").body:find "^5 " end, "version 5")
    assert.matches("no thanks", app:logged "could not be restored".error)
    app:stop()
  end)
end)


describe("a plugin that keeps failing", function()
  local files = {
    ["config.lua"] = 'return { plugins = { { "bad", off_after = 5 } } }',
    ["plugins/bad/init.lua"] = plugin("bad", [[
      local web = require "web"
      plugin:route { path = "/bad", GET = function() error "it fails" end }
      plugin:route { path = "/refused", GET = function() web.throw(409, "no", "meant") end }
      plugin:middleware(function(req, next) return web.with(next(req), { ["X-Bad"] = "on" }) end)
      plugin:gauge("bad_gauge", ""):set(7)]]),
  }

  it("is switched off on all workers, loudly, when its settings say so #workers", function()
    local app = server.start { files = files, workers = 2 }
    for _ = 1, 20 do app:get "/refused" end
    assert.equal("on", app:get("/health").headers["x-bad"])
    for _ = 1, 5 do assert.equal(500, app:get("/bad").status) end
    local line = app:logged "was switched off"
    assert.equal("bad", line.plugin)
    assert.equal("error", line.level)
    wait.till(function() return app:metric 'plugin_off{plugin="bad"}' == 2 end, "both workers")
    for _ = 1, 10 do
      assert.equal(404, app:get("/bad").status)
      assert.is_nil(app:get("/health").headers["x-bad"])
    end
    assert.equal(0, app:metric "bad_gauge")
    assert.equal(5, app:metric 'plugin_errors_total{plugin="bad"}')
    app.process:kill "sighup"
    wait.till(function() return app:get("/bad").status == 500 end, "a new chance")
    app:stop()
  end)

  it("stays when nothing is said", function()
    local stays = { ["config.lua"] = 'return { plugins = { "bad" } }', ["plugins/bad/init.lua"] =
      files["plugins/bad/init.lua"] }
    local app = server.start { files = stays, workers = 1 }
    for _ = 1, 30 do assert.equal(500, app:get("/bad").status) end
    app:stop()
  end)
end)


describe("a plugin's command", function()
  it("is run as `lunacast <plugin> <command>`", function()
    local folder = server.folder()
    server.write(folder, {
      ["config.lua"] = 'return { plugins = { { "tool", word = "hi" } } }',
      ["plugins/tool/init.lua"] = plugin("tool", [[
        plugin:command("say", { summary = "says a word", words = { 1, 1 }, run = function(call)
          call:say(config.word .. " " .. call.words[1])
          return 3
        end })]], 'config = { word = { type = "string" } },'),
    })
    local run = process.spawn(server.BINARY:sub(1, 1) == "/" and server.BINARY
      or require("luv").cwd() .. "/" .. server.BINARY, { "tool", "say", "you", "--app", folder })
    assert.equal(3, (run:wait(20)), run.err)
    assert.equal("hi you\n", run.out)
  end)
end)


describe("a plugin's C module", function()
  local C = [[
#include <lauxlib.h>
static int twice(lua_State *L) { lua_pushinteger(L, 2 * luaL_checkinteger(L, 1)); return 1; }
int luaopen_plugins_fast_twice(lua_State *L) {
    static const luaL_Reg f[] = {{"twice", twice}, {NULL, NULL}};
    luaL_newlib(L, f); return 1; }
]]
  local CMAKE = [[
cmake_minimum_required(VERSION 3.16)
project(fast C)
find_package(PkgConfig REQUIRED)
pkg_check_modules(LUA REQUIRED lua5.4)
add_library(twice MODULE twice.c)
target_include_directories(twice PRIVATE ${LUA_INCLUDE_DIRS})
set_target_properties(twice PROPERTIES PREFIX "")
]]

  it("is built by its CMakeLists.txt and found in the plugin's folder only", function()
    local folder = server.folder()
    server.write(folder, {
      ["config.lua"] = 'return { plugins = { "fast" } }',
      ["plugins/fast/init.lua"] = plugin("fast", [[
        local fast = require "plugins.fast.twice"
        plugin:route { path = "/twice/{n}", GET = function(req)
          return { body = tostring(fast.twice(math.tointeger(req.params.n))) }
        end }]]),
      ["plugins/fast/twice.c"] = C, ["plugins/fast/CMakeLists.txt"] = CMAKE,
    })
    local own = folder .. "/plugins/fast"
    for _, args in ipairs { { "-S", own, "-B", own .. "/build" }, { "--build", own .. "/build" } } do
      local cmake = process.spawn("cmake", args)
      assert.equal(0, (cmake:wait(60)), cmake.err)
    end
    local app = server.start { folder = folder }
    assert.equal("42", app:get("/twice/21").body)
    app.process:kill "sighup"
    app:logged "the scripts were reloaded"
    assert.equal("4", app:get("/twice/2").body)
    app:stop()
    assert(os.rename(own .. "/build/twice.so", folder .. "/twice.so"))
    os.execute(("ln -s %s/twice.so %s/twice.so"):format(folder, own))
    local again = server.launch { folder = folder }
    assert.equal(1, (again.process:wait(30)))
    assert.matches("outside of its plugin's folder", again.process.err)
  end)
end)


describe("plugins over many reloads", function()
  local files = {}
  for name, text in pairs(FILES) do files[name] = text end
  files["config.lua"] = 'return { plugins = { "full", "ticks", "badge" } }'
  files["plugins/ticks/init.lua"] = plugin("ticks", [[
    plugin:every(0.05, function() end, { once_per = "worker" })
    plugin:hook("close", function() end)
    plugin:gauge("ticks_gauge", ""):set(1)]])

  local function run(count, env)
    local app = server.start { workers = 2, files = files, set = { watch = false }, env = env }
    local function reload(n)
      for _ = 1, n do
        local seen = app:metric "lunacast_reloads_total" or 0
        app.process:kill "sighup"
        wait.till(function() return (app:metric "lunacast_reloads_total" or 0) > seen end)
      end
    end
    local function tasks()
      local one, two = app:metric 'lunacast_tasks{worker="0"}', app:metric 'lunacast_tasks{worker="1"}'
      return one and two and one + two
    end
    local function state()
      local resident, text = at_rest(tasks), app:get("/metrics").body
      return {
        tasks = resident, gauge = app:metric "ticks_gauge", lines = select(2, text:gsub("\n", "")),
      }, app:metric "process_resident_memory_bytes"
    end
    reload(count // 2) -- until then an allocator of the sanitizer's kind still grows
    local before, bytes = state()
    reload(count - count // 2)
    local after, bytes_after = state()
    app:stop()
    return before, after, bytes, bytes_after
  end

  it("leave the same counts", function()
    local before, after = run(15)
    assert.same(before, after)
  end)

  it("a thousand leave the same counts and the same memory #soak", function()
    -- what the sanitizer keeps of each call that has allocated is not the server's
    local before, after, bytes, bytes_after =
      run(1000, { ASAN_OPTIONS = "quarantine_size_mb=4:malloc_context_size=1" })
    assert.same(before, after)
    assert.is_true(bytes_after < bytes * 1.05 + 4e6, ("%d, then %d bytes"):format(bytes, bytes_after))
  end)
end)
