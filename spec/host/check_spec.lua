-- What can be known of an application without serving it.
local json = require "host.json"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"

local BINARY = uv.fs_realpath(server.BINARY)

local function lunacast(...)
  return process.run(BINARY, { ... })
end

local function application(files)
  local folder = server.folder()
  server.write(folder, files)
  return folder
end

local GOOD = {
  ["config.lua"] = "return { max_fps = 30 }",
  ["lua/routes/a.lua"] = [[
local web = require "web"

local function show(req)
  return web.render("pages/a.html", { n = req.params.n })
end

return {
  { path = "/a/{n}", middleware = { "bearer", show }, GET = show },
  { path = "/b", WS = { message = function(ws, text) ws:send(text) end }, POST = show },
}
]],
  ["templates/pages/a.html"] = "{% extends 'base.html' %}{% block body %}{{ n | twice }}{% endblock %}",
  ["templates/base.html"] = "<p>{% block body %}{% endblock %}</p>",
  ["lua/filters/twice.lua"] = "return function(value) return value .. value end",
}

local function with(changes)
  local files = {}
  for name, text in pairs(GOOD) do files[name] = text end
  for name, text in pairs(changes) do files[name] = text or nil end
  return application(files)
end


describe("lunacast check", function()
  it("is content with a good application", function()
    local p = lunacast("check", application(GOOD))
    assert.equal(0, p.code, p.err)
    assert.equal("", p.out)
    assert.matches("^good: %d+ routes, %d+ templates, %d+ filters\n", p.err)
    assert.equal("[]\n", lunacast("check", application(GOOD), "--json").out)
  end)

  it("names file and line of what does not load, with exit code 1", function()
    local cases = {
      { { ["lua/routes/a.lua"] = "return {\n  path = = 1\n}" }, "^lua/routes/a%.lua:2: error: unexpected symbol" },
      { { ["lua/routes/a.lua"] = "local x = nil\nreturn { path = x.y }" }, "^lua/routes/a%.lua:2: error: attempt to index" },
      { { ["lua/routes/a.lua"] = "return { path = '/x', middleware = { 'nope' }, GET = print }" },
        "lua/routes/a%.lua: error: there is no middleware \"nope\", no file lua/middleware/nope.lua" },
      { { ["lua/routes/a.lua"] = "return { path = '/x', middleware = { 'baerer' }, GET = print }" },
        "lua/routes/a%.lua: error: there is no middleware \"baerer\".*did you mean 'bearer'" },
      { { ["lua/routes/a.lua"] = "\27Lua" }, "lua/routes/a%.lua: error: bytecode is not loaded" },
      { { ["lua/a.lua"] = "\27Lua" }, "lua/a%.lua: error: attempt to load a binary chunk" },
      { { ["lua/filters/twice.lua"] = "return {\n" }, "^lua/filters/twice%.lua:%d: error:" },
      { { ["lua/filters/twice.lua"] = "return 7" }, "^lua/filters/twice%.lua: error: a filter file returns a function" },
      { { ["templates/base.html"] = "<p>\n{{ 1 | nosuch }}" },
        "templates/base%.html:2:%d+: error: .*nosuch" },
      { { ["templates/pages/a.html"] = "{% if %}" }, "^templates/pages/a%.html:1:%d+: error" },
      { { ["lua/middleware/m.lua"] = "return {}" },
        "^lua/middleware/m%.lua: error: a middleware file returns a function, it returned a table" },
      { { ["config.lua"] = "return { topics = { ['a.*'] = { hist = 3 } } }" },
        "^config%.lua: error: topics: the rule of a%.%*: there is no hist" },
      { { ["config.lua"] = "return { listen = { ':80', '8080' } }" },
        "^config%.lua: error: 8080 is not an address to listen on" },
      { { ["config.lua"] = "return { redis = { url = 'localhost' } }" },
        "^config%.lua: error: the address of Redis is wrong" },
      { { ["config.lua"] = "return { proxy = { trusted = { '10.0.0.0/99' } } }" },
        '^config%.lua: error: proxy%.trusted: "10%.0%.0%.0/99"' },
      { { ["migrations/1_x.sql"] = "select 1" },
        "^migrations/1_x%.sql: error: migrations have names like 0001_users%.sql" },
      { { ["lua/hooks/h.lua"] = "return { conect = print }" }, "error: no hook is named conect" },
    }
    for _, case in ipairs(cases) do
      local p = lunacast("check", with(case[1]))
      assert.equal(1, p.code, p.out .. p.err)
      assert.matches(case[2], p.out)
      assert.equal("1 error, 0 warnings\n", p.err)
    end
  end)

  it("says that a link leads nowhere", function()
    local folder = application(GOOD)
    os.execute(("ln -s nowhere.lua %s/lua/routes/link.lua"):format(folder))
    local p = lunacast("check", folder)
    assert.equal(1, p.code)
    assert.matches("^lua/routes/link%.lua: error: a link to nothing\n", p.out)
  end)

  it("names the setting that a load which fills all memory breaks", function()
    local p = lunacast("check", with { ["config.lua"] = "return { ['lua.memory'] = '16M' }",
      ["lua/routes/a.lua"] = "local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end" })
    assert.equal(1, p.code)
    assert.matches("error: the scripts need more than lua.memory %(16 MiB%) to load", p.out)
  end)

  it("ends, with file and line, where a load does not", function()
    local folder = with { ["lua/routes/a.lua"] = "\nwhile true do end" }
    local p = process.run(BINARY, { "check", folder }, { seconds = 200 }) -- 10 of CPU time
    assert.equal(1, p.code)
    assert.matches("^lua/routes/a%.lua:2: error: the script ran out of its time budget", p.out)
  end)

  it("refuses wrong settings with line and key", function()
    local p = lunacast("check", with { ["config.lua"] = "return {\n  max_fbs = 1,\n}" })
    assert.equal(1, p.code)
    assert.matches('config%.lua:2: no setting is named "max_fbs"; did you mean "max_fps"', p.err)
  end)

  it("warns of what looks like a mistake; with --strict that is one", function()
    local folder = with { ["lua/helper.lua"] = "local hub = require 'host.hub'\nreturn { n = prnt }",
      ["spec/a_spec.lua"] = "describe('x', function() it('y', function() end) end)",
      ["lua/commands/c.lua"] = "return { summary = 'x', run = function() io.write 'x' end }" }
    local p = lunacast("check", folder)
    assert.equal(0, p.code)
    assert.equal("lua/helper.lua:1: warning: hub is never used\n"
      .. "lua/helper.lua:2: warning: no global is named prnt: a typo, or a missing `local`?\n", p.out)
    p = lunacast("check", folder, "--strict", "--json")
    assert.equal(1, p.code)
    assert.same({ file = "lua/helper.lua", line = 1, level = "warning", message = "hub is never used" },
      json.decode(p.out)[1])
  end)

  it("makes no data folder and opens no store", function()
    local folder = application(GOOD)
    lunacast("check", folder)
    assert.is_nil(uv.fs_stat(folder .. "/data"))
  end)
end)


describe("lunacast routes", function()
  it("lists method, path, file and line, and middleware", function()
    local p = lunacast("routes", application(GOOD), "--own")
    assert.equal(table.concat({
      "METHOD  PATH    FILE                MIDDLEWARE",
      "GET     /a/{n}  lua/routes/a.lua:3  bearer, (function)",
      "POST    /b      lua/routes/a.lua:3  -",
      "WS      /b      lua/routes/a.lua:9  -",
      "",
    }, "\n"), p.out)
  end)

  it("lists those that come with lunacast, and all as JSON", function()
    local list = json.decode(lunacast("routes", application(GOOD), "--json").out)
    local found = {}
    for _, route in ipairs(list) do found[route.method .. " " .. route.path] = route end
    assert.is_true(found["GET /a/{n}"].own)
    assert.is_false(found["GET /health"].own)
    assert.matches("^lua/routes/health%.lua:%d+$", found["GET /health"].file)
  end)

  it("says what is wrong where the application does not load", function()
    local p = lunacast("routes", with { ["lua/routes/a.lua"] = "return {" })
    assert.equal(1, p.code)
    assert.matches("does not load: lua/routes/a%.lua:1:", p.err)
  end)
end)


describe("lunacast render", function()
  it("renders a template of the application, with arguments from a file and one by one", function()
    local folder = with { ["args.json"] = '{ "n": "ab" }' }
    assert.equal("<p>abab</p>",
      lunacast("render", "pages/a.html", "--args", folder .. "/args.json", "--app", folder).out)
    assert.equal("<p>1212</p>", lunacast("render", "pages/a.html", "--arg", "n=x12", "--app", folder).out
      :gsub("x12x12", "1212"))
  end)

  it("renders any file, with the application's filters", function()
    local folder = with { ["other.txt"] = "{{ n | twice }}{% include 'base.html' %}" }
    assert.equal("zz<p></p>",
      lunacast("render", folder .. "/other.txt", "--arg", "n=z", "--app", folder).out)
  end)

  it("says where a template is wrong", function()
    local folder = with { ["templates/bad.svg"] = "<svg>\n{{ nope }}</svg>" }
    local p = lunacast("render", "bad.svg", "--app", folder)
    assert.equal(1, p.code)
    assert.equal("", p.out)
    assert.matches("bad%.svg:2:4: variable 'nope' not found\n.*%^", p.err)
    assert.matches("there is no template absent.svg, and no file of this name\n",
      lunacast("render", "absent.svg", "--app", folder).err)
    assert.matches("; did you mean bad.svg%?", lunacast("render", "bda.svg", "--app", folder).err)
    server.write(folder, { ["list.json"] = "[1]" })
    p = lunacast("render", "bad.svg", "--args", folder .. "/list.json", "--app", folder)
    assert.equal(1, p.code)
    assert.matches("list%.json: an object is expected\n$", p.err)
  end)
end)
