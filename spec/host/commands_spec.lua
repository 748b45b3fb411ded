-- Commands in Lua: the framework's and an application's own.
local json = require "host.json"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"

local BINARY = uv.fs_realpath(server.BINARY)

local function lunacast(...)
  return process.run(BINARY, { ... })
end

local GREET = [[
return {
  summary = "greets somebody",
  usage = "greet NAME [--loud]",
  words = { 1, 2 },
  lists = true,
  options = {
    { "loud", help = "in capitals" },
    { "times", "N", help = "how often" },
    { "with", "WORD", help = "and", many = true },
  },
  examples = { "lunacast greet ada" },
  run = function(call)
    local text = "hello " .. call.words[1]
    if call.options.loud then text = text:upper() end
    if call.words[1] == "nobody" then call:fail("there is %s; name somebody", "nobody") end
    if call.words[1] == "bug" then local x = nil; return x.y end
    call:list({ { text = text, times = call.options.times, with = call.options.with } },
      { "text", "times", "with" })
    return tonumber(call.words[2])
  end,
}
]]

local SETTINGS = [[
local config = require "host.config"
return { summary = "shows settings", run = function(call)
  call:say("%s %s %s %s", config.app.title, config.get "max_fps", call.folder, call.data)
end }
]]

local FAMILY = [[
local function say(word)
  return { summary = word, words = { 0, 3 }, run = function(call)
    print(word, table.concat(call.words, "+"))
  end }
end
return { summary = "a family", commands = { one = say "one", two = say "two" } }
]]


local function application(files)
  local folder = server.folder()
  server.write(folder, files)
  return folder
end


describe("a command", function()
  it("of the application's own folder gets its words and options", function()
    local folder = application { ["lua/commands/greet.lua"] = GREET }
    local p = lunacast("greet", "ada", "--app", folder, "--with", "a", "--with=b", "--times", "3")
    assert.equal("", p.err)
    assert.equal("TEXT       TIMES  WITH\nhello ada  3      a, b\n", p.out)
    assert.equal(0, p.code)
    p = lunacast("greet", "--app=" .. folder, "--loud", "--json", "--", "--ada")
    assert.same({ { text = "HELLO --ADA" } }, json.decode(p.out))
  end)

  it("ends with the exit code that it returns", function()
    local folder = application { ["lua/commands/greet.lua"] = GREET }
    assert.equal(7, lunacast("greet", "ada", "7", "--app", folder).code)
  end)

  it("that fails says so in one line, with exit code 1; a bug shows its place", function()
    local folder = application { ["lua/commands/greet.lua"] = GREET }
    local p = lunacast("greet", "nobody", "--app", folder)
    assert.equal(1, p.code)
    assert.equal("lunacast: there is nobody; name somebody\n", p.err)
    p = lunacast("greet", "bug", "--app", folder)
    assert.equal(1, p.code)
    assert.matches("greet%.lua:%d+:.*traceback", p.err)
  end)

  it("answers a mistyped option or word with the nearest right one, and exit code 2", function()
    local folder = application {
      ["lua/commands/greet.lua"] = GREET, ["lua/commands/family.lua"] = FAMILY,
    }
    local cases = {
      { { "greet", "ada", "--luod" }, '"%-%-loud"' },
      { { "greet" }, "a word is missing; usage: lunacast greet NAME" },
      { { "greet", "a", "1", "b" }, '"b" is too much' },
      { { "greet", "ada", "--times" }, "%-%-times lacks its value: %-%-times N" },
      { { "greet", "ada", "--loud=yes" }, "takes no value" },
      { { "graet", "ada" }, '"greet"' },
      { { "family", "tow" }, '"two"' },
      { { "family" }, "wants one more word: one, two;" },
    }
    for _, case in ipairs(cases) do
      table.insert(case[1], "--app=" .. folder)
      local p = process.run(BINARY, case[1])
      assert.equal(2, p.code, table.concat(case[1], " "))
      assert.matches(case[2], p.err)
      assert.equal("", p.out)
    end
  end)

  it("may be one of a family", function()
    local folder = application { ["lua/commands/family.lua"] = FAMILY }
    assert.equal("two\ta+b\n", lunacast("family", "two", "a", "b", "--app", folder).out)
  end)

  it("has the settings of the application's folder", function()
    local folder = application {
      ["lua/commands/settings.lua"] = SETTINGS,
      ["config.lua"] = "return { max_fps = 7, app = { title = 'x' } }",
    }
    local p = lunacast("settings", "--app", folder)
    assert.equal(("x 7 %s %s/data\n"):format(folder, folder), p.out)
    p = lunacast("settings", "--app", folder, "--set", "max_fps=9", "--data", "/tmp/d")
    assert.equal(("x 9 %s /tmp/d\n"):format(folder), p.out)
    assert.is_nil(uv.fs_stat(folder .. "/data"))
  end)

  it("has help with its options and examples", function()
    local folder = application {
      ["lua/commands/greet.lua"] = GREET, ["lua/commands/family.lua"] = FAMILY,
    }
    local p = lunacast("greet", "--help", "--app", folder)
    assert.equal(0, p.code)
    assert.matches("greets somebody", p.out)
    assert.matches("usage: lunacast greet NAME %[%-%-loud%]", p.out)
    assert.matches("%-%-times N +how often", p.out)
    assert.matches("%-%-json", p.out)
    assert.matches("examples:\n  lunacast greet ada", p.out)
    assert.matches("lunacast one +one", lunacast("help", "family", "--app", folder).out)
    assert.matches("lunacast greet NAME", lunacast("help", "--app", folder).out)
  end)

  it("that does not load names its file", function()
    local folder = application { ["lua/commands/bad.lua"] = "return {" }
    local p = lunacast("bad", "--app", folder)
    assert.equal(1, p.code)
    assert.matches("lua/commands/bad%.lua:1:", p.err)
  end)

  it("may be a plugin's, and a template may use a plugin's filter", function()
    local folder = application {
      ["config.lua"] = "return { plugins = { { 'shop', greeting = 'hi' } } }",
      ["plugins/shop/init.lua"] = [[
        return { name = "shop", version = "1", config = { greeting = { type = "string" } },
          setup = function(plugin, config)
            plugin:filter("greet", function(value) return config.greeting .. " " .. value end)
            plugin:command("open", { summary = "opens the shop", words = { 0, 1 },
              run = function(call) call:say("%s %s", config.greeting, call.words[1] or "all") end })
          end }
      ]],
      ["templates/a.txt"] = "{{ 'ada' | greet }}",
    }
    assert.equal("hi ada\n", lunacast("shop", "open", "ada", "--app", folder).out)
    assert.matches("lunacast open +opens the shop", lunacast("help", "shop", "--app", folder).out)
    assert.matches('did you mean "open"', lunacast("shop", "opne", "--app", folder).err)
    assert.equal("hi ada", lunacast("render", "a.txt", "--app", folder).out)
    assert.equal(0, lunacast("check", folder).code)
  end)
end)
