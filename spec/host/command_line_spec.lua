-- What a person types, and what comes back.
local http = require "spec.support.http"
local json = require "host.json"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"

local BINARY = uv.fs_realpath(server.BINARY)

local function lunacast(args, options)
  return process.run(BINARY, args, options)
end


-- The value and the origin of a setting, as `lunacast config` prints them.
local function setting(output, name)
  local value, origin = ("\n" .. output):match("\n" .. name:gsub("%.", "%%.") .. " +(.-)  +(%S+)\n")
  return value, origin
end


describe("the command line", function()
  it("prints version and help", function()
    assert.matches("^lunacast %d+%.%d+%.%d+\n$", lunacast({ "--version" }).out)
    local help = lunacast { "--help" }
    assert.equal(0, help.code)
    assert.matches("lunacast run %[DIR%]", help.out)
    assert.matches("examples:", help.out)
    assert.equal(help.out, lunacast({ "help" }).out)
    assert.matches("%-%-listen HOST:PORT", lunacast({ "run", "--help" }).out)
  end)

  it("prints the help of each command with --help, as it does with `help`", function()
    local commands = {}
    for name in lunacast({ "help" }).out:gmatch "\n  lunacast (%l+)" do commands[name] = true end
    assert.is_true(commands.check and commands.status and commands.new)
    for name in pairs(commands) do
      local help = lunacast { name, "--help" }
      assert.equal(0, help.code)
      assert.matches("^lunacast " .. name .. " %- ", help.out)
      assert.equal(lunacast({ "help", name }).out, help.out)
    end
  end)

  it("answers a mistyped word with the nearest right one, and exit code 2", function()
    local cases = {
      { { "rnu" }, '"run"' },
      { { "cofnig" }, '"config"' },
      { { "run", "--lisen", ":1" }, '"%-%-listen"' },
      { { "run", "--set", "max_fbs=1" }, '"max_fps"' },
      { { "run", "--set", "max_fps" }, "KEY=VALUE" },
      { { "run", "--workers" }, "%-%-workers lacks its value; `lunacast run %-%-help`" },
      { { "config", "--josn" }, '"%-%-json"' },
      { { "run", "--workers", "many" }, "a whole number, from 0 to 256" },
      { { "run", "a", "b" }, "one folder, please; not also b; `lunacast run %-%-help`" },
      { { "lua" }, "lunacast lua FILE" },
      { {}, "lunacast run" },
    }
    for _, case in ipairs(cases) do
      local p = lunacast(case[1])
      assert.equal(2, p.code, table.concat(case[1], " "))
      assert.matches(case[2], p.err)
      assert.equal("", p.out)
    end
  end)

  it("refuses a folder that is not there", function()
    local p = lunacast { "run", "/no/such/folder" }
    assert.equal(1, p.code)
    assert.matches("/no/such/folder: no such folder", p.err)
  end)

  it("takes settings from defaults, config.lua, the environment and options, in this order", function()
    local folder = server.folder()
    server.write(folder, { ["config.lua"] = table.concat({
      "return {",
      "  max_fps = 10, keepalive = 11,",
      "  limits = { idle = '12s', body = '13K' },",
      "  app = { title = 'x' },",
      "}",
    }, "\n") })
    local p = lunacast({ "config", folder, "--set", "limits.body=15K" }, {
      env = { LUNACAST_LIMITS_IDLE = "14s", LUNACAST_LIMITS_BODY = "14K",
        REDIS_URL = "redis://me:hush@example", JWT_SECRET_KEY = ("hush"):rep(10) },
    })
    assert.equal("", p.err)
    assert.same({ "10", "config.lua:2" }, { setting(p.out, "max_fps") })
    assert.same({ "11s", "config.lua:2" }, { setting(p.out, "keepalive") })
    assert.same({ "14s", "LUNACAST_LIMITS_IDLE" }, { setting(p.out, "limits.idle") })
    assert.same({ "15K", "--set" }, { setting(p.out, "limits.body") })
    assert.same({ "30s", "default" }, { setting(p.out, "drain") })
    assert.same({ "redis://me:***@example", "REDIS_URL" }, { setting(p.out, "redis.url") })
    assert.is_nil(p.out:find("hush", 1, true))
  end)

  it("refuses unknown keys and bad values wherever they come from", function()
    local folder = server.folder()
    server.write(folder, { ["config.lua"] = "return {\n  max_fbs = 10,\n}" })
    local p = lunacast { "config", folder }
    assert.equal(1, p.code)
    assert.matches('config%.lua:2: no setting is named "max_fbs"; did you mean "max_fps"', p.err)
    p = lunacast({ "config" }, { env = { LUNACAST_WORKRES = "2" } })
    assert.equal(1, p.code)
    assert.matches('LUNACAST_WORKRES.*"workers"', p.err)
    p = lunacast({ "config" }, { env = { LUNACAST_DRAIN = "soon" } })
    assert.matches("LUNACAST_DRAIN: drain = \"soon\" is not possible; allowed: a time", p.err)
    p = lunacast { "config", "--set", "tls.cert=a.pem" }
    assert.equal(1, p.code)
    assert.matches("tls.key", p.err)
  end)

  it("prints the settings as a table for README", function()
    local p = lunacast { "config", "--markdown" }
    assert.matches("| `max_fps` | `60` | a whole number, from 0 to 1000 | ", p.out, 1, true)
  end)

  it("prints the settings as JSON", function()
    local p = lunacast { "config", "--json", "--set", "redis.url=redis://a:hush@b" }
    local settings = json.decode(p.out)
    assert.same({ value = "60", source = "default" }, settings.max_fps)
    assert.same({ value = "redis://a:***@b", source = "--set" }, settings["redis.url"])
  end)

  it("runs a Lua file with its arguments and gives its exit code", function()
    local folder = server.folder()
    server.write(folder, {
      ["args.lua"] = "print(..., arg[0], arg[2], require('host.time').now() > 0) return 7",
      ["raise.lua"] = "error 'no luck'",
      ["wait.lua"] = "require('host.time').sleep(0.05) print 'waited'",
    })
    local p = lunacast { "lua", folder .. "/args.lua", "one", "two" }
    assert.equal(7, p.code)
    assert.equal(("one\t%s/args.lua\ttwo\ttrue\n"):format(folder), p.out)
    p = lunacast { "lua", folder .. "/raise.lua" }
    assert.equal(1, p.code)
    assert.matches("raise%.lua:1: no luck", p.err)
    assert.equal("waited\n", lunacast({ "lua", folder .. "/wait.lua" }).out)
    -- in a folder of its own: that of the specs may have a server's data
    p = lunacast({ "lua", folder .. "/absent.lua" }, { cwd = folder })
    assert.equal(1, p.code)
    assert.matches("^lunacast: [^\n]*absent%.lua[^\n]*\n$", p.err)
  end)

  it("opens the store for a Lua file that asks for it, and lets a server have it before", function()
    local app = server.start {}
    server.write(app.folder, {
      ["none.lua"] = "print(require('web').escape '<')",
      ["store.lua"] = "local s = require 'host.store' print(s.name, s.set('a', 'b') ~= nil)",
    })
    local p = lunacast({ "lua", "none.lua" }, { cwd = app.folder })
    assert.same({ 0, "&lt;\n", "" }, { p.code, p.out, p.err })
    p = lunacast({ "lua", "store.lua" }, { cwd = app.folder })
    assert.equal("none\tfalse\n", p.out)
    assert.matches("the store can't be opened", p.err)
    app:stop()
    p = lunacast({ "lua", "store.lua" }, { cwd = app.folder })
    assert.same({ "embedded\ttrue\n", "" }, { p.out, p.err })
  end)
end)


describe("addresses", function()
  it("of several --listen are all served, IPv4, IPv6 and a unix socket", function()
    local known = io.open "/proc/net/if_inet6"
    if not (known and known:read "a":find "lo\n") then return pending "this machine has no IPv6" end
    local socket = server.folder() .. "/web.sock"
    local app = server.start { listen = { "127.0.0.1:0", "[::1]:0", "unix:" .. socket } }
    assert.equal(3, #app.urls)
    assert.equal(200, app:get("/health").status)
    local port = tonumber(app.urls[2]:match "^http://%[::1%]:(%d+)$")
    assert.equal(200, http.request({ host = "::1", port = port }, "GET", "/health").status)
    assert.equal(200, http.request({ path = socket }, "GET", "/health").status)
    app:stop()
    assert.is_nil(uv.fs_stat(socket))
  end)

  it("of all interfaces are told as one that a browser opens", function()
    local app = server.start { listen = { ":0" } }
    assert.matches("^http://0%.0%.0%.0:%d+$", app.url)
    assert.equal(200, app:get("/health").status)
    app:stop()
  end)

  it("replace a unix socket that nobody answers any more", function()
    local socket = server.folder() .. "/web.sock"
    local app = server.start { listen = { "unix:" .. socket } }
    app:crash()
    assert.is_truthy(uv.fs_stat(socket))
    app = server.start { listen = { "unix:" .. socket } }
    assert.equal(200, app:get("/health").status)
    app:stop()
  end)

  it("that are taken give one clear line", function()
    local app = server.start {}
    local second = server.launch { listen = { "127.0.0.1:" .. app.port } }
    assert.equal(1, (second.process:wait()))
    assert.matches(("%d"):format(app.port), second.process.err)
    assert.matches(("ss %%-ltnp 'sport = :%d'"):format(app.port), second.process.err)
    assert.equal("", second.process.out)
    app:stop()
  end)

  it("that make no sense are refused with what would be right", function()
    for _, address in ipairs { "127.0.0.1:99999", "localhost", "[::1", "999.1.1.1:80", "a:b" } do
      local app = server.launch { listen = { address } }
      assert.equal(1, (app.process:wait()), address)
      assert.equal(1, select(2, app.process.err:gsub("lunacast: [^\n]+\n", "")), app.process.err)
    end
  end)
end)


describe("a start", function()
  it("takes less than a second of CPU, and prints nothing else on stdout", function()
    local app = server.start {}
    assert.is_true(app:metric "process_cpu_seconds_total" < 1) -- under sanitizers
    assert.matches("^lunacast ready on http://127%.0%.0%.1:%d+\n$", app.process.out)
    app:stop()
  end)

  it("with an application that does not load names file and line, and fails", function()
    local app = server.launch { files = { ["lua/routes/bad.lua"] = "return {\n  path = \n}" } }
    assert.equal(1, (app.process:wait()))
    assert.matches("lua/routes/bad%.lua:3", app.process.err)
  end)

  it("shows the calls that led to an error where they are the application's", function()
    local app = server.launch { files = { ["lua/routes/bad.lua"] = "return { path = '/x', GE = print }" } }
    assert.equal(1, (app.process:wait()))
    assert.matches("lunacast: lua/routes/bad%.lua: GE has no meaning[^\n]*\n$", app.process.err)
    app = server.launch { files = {
      ["lua/routes/bad.lua"] = "local function f() return nil + 1 end\nlocal x = f()\nreturn x",
    } }
    assert.equal(1, (app.process:wait()))
    assert.matches("bad%.lua:1: attempt.*stack traceback:.*bad%.lua:2: in main chunk", app.process.err)
  end)
end)
