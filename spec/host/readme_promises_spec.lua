-- README.md's word: its pictures change under a viewer's eyes, and what it names is there.
local http = require "spec.support.http"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"

local BINARY = uv.fs_realpath(server.BINARY)


local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local README = read "README.md"


-- The text below a heading of level two, up to the next one.
local function section(title)
  local _, from = README:find("\n## " .. title .. "\n", 1, true)
  assert(from, "README has no section " .. title)
  return README:sub(from + 1, (README:find("\n## ", from, true) or #README + 1) - 1)
end


-- The fenced blocks of a language, in their order.
local function blocks(text, language)
  local found = {}
  for block in ("\n" .. text):gmatch("\n```" .. language .. "\n(.-\n)```") do
    found[#found + 1] = block
  end
  return found
end


local function bash(script)
  local p = process.run("/bin/bash", { "-euo", "pipefail", "-c", script })
  assert.equal(0, p.code, p.err)
  return p.out
end


describe("README's picture, step by step", function()
  it("makes a session, changes it under a viewer's eyes, and goes through the token", function()
    local app = server.start {}
    local steps = blocks(section "A picture, step by step", "sh")
    assert.equal(3, #steps)
    for i, step in ipairs(steps) do
      local with_port, places = step:gsub("http://127%.0%.0%.1:3000", app.url)
      assert.is_true(places > 0, "a step that asks no server")
      steps[i] = with_port
    end

    assert.same('{"session_id":"lamp"}', bash(steps[1]))
    local view = http.pictures(app, "/stream/lamp")
    local picture = view:next()
    assert.matches(">HELLO</text>", picture, 1, true)
    assert.matches('fill="#2f6fed"', picture, 1, true)

    local said = bash(steps[2])
    assert.matches('fill="#12a150"', said, 1, true)
    assert.matches(">ONLY THE TEXT</text>", said, 1, true)
    assert.is_nil(said:find('"error"', 1, true), said)
    assert.matches('fill="#12a150"', (view:till ">ONLY THE TEXT</text>"), 1, true)
    view:close()

    said = bash(steps[3])
    assert.matches('{"session_id":"mine"}', said, 1, true)
    assert.matches('<text y="20">1</text>', said, 1, true)
    assert.equal(401, app:put("/api/user/ada/session/mine", { json = { args = { n = 2 } } }).status)
    app:stop()
  end)
end)


describe("README's application", function()
  it("has the functions and modules that are named", function()
    local text = section "Your own application"
    local web, modules = {}, {}
    for name in text:gmatch "`web%.([%l_]+)" do web[#web + 1] = name end
    local list = text:match "The C modules are%s(.-);"
    for name in list:gmatch "`([%w.]+)`" do
      modules[#modules + 1] = name:find("host.", 1, true) and name or "host." .. name
    end
    assert.is_true(#web >= 10 and #modules >= 14)
    local folder = server.folder()
    server.write(folder, { ["names.lua"] = ([[
      local modules, web = ...
      for name in modules:gmatch "%S+" do assert(type(require(name)) == "table", name) end
      local chunk = assert(io.open "lua/web/init.lua"):read "a"
      for name in web:gmatch "%S+" do
        assert(chunk:find("\n  " .. name .. " = "), "web." .. name .. " is not there")
      end]]) })
    local p = process.run(BINARY,
      { "lua", folder .. "/names.lua", table.concat(modules, " "), table.concat(web, " ") })
    assert.equal(0, p.code, p.err)
  end)
end)


describe("README's tables", function()
  it("name each setting once", function()
    local seen = {}
    for name in section("Settings"):gmatch "\n| `([%w_.]+)` |" do
      assert.is_nil(seen[name], name)
      seen[name] = true
    end
    assert.is_true(seen.listen)
  end)

  it("and text name files that are there", function()
    local function there(name)
      assert.is_truthy(uv.fs_stat((name:gsub("/$", ""))), name)
    end
    local count, folder = 0, nil
    for name in README:gmatch "`([%w_./{},*-]+)`" do
      local head, list, tail = name:match "^([^{]*){([^}]+)}(.*)$"
      if name:find "^[%l]+/" and not name:find "{[%l_]*}" and not name:find "^multipart/" then
        folder = name:match "^(.*/)[^/]*$"
        for word in (list or ""):gmatch "[^,]+" do there(head .. word .. tail) end
        if name:find("*", 1, true) then
          local p = process.run("/bin/bash", { "-c", "ls " .. name })
          assert.equal(0, p.code, name)
        elseif not list then
          there(name)
        end
        count = count + 1
      elseif (name ~= "lua.h" and name:find "^[%l_]+%.[ch]$" or name:find "^[%l_]+%.lua$") and folder then
        assert.is_truthy(uv.fs_stat(folder .. name) or uv.fs_stat("lua/web/" .. name)
          or uv.fs_stat(name) or uv.fs_stat("lua/" .. name) or uv.fs_stat("src/script/" .. name)
          or name == "config.lua", name)
      end
    end
    for link in README:gmatch "%]%(([^)#]+)" do
      if not link:find "^https?:" then
        there(link)
        count = count + 1
      end
    end
    assert.is_true(count > 15)
  end)
end)
