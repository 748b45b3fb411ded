-- docs/*.md: what is shown compiles, calls what is there, and makes applications that lunacast finds
-- nothing wrong with; the pages that are made of the program are those of this program.
local documents = require "spec.support.documents"
local follow = require "spec.support.follow"
local json = require "host.json"
local lint = require "cli.lint"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"

local BINARY = uv.fs_realpath(server.BINARY)
local UPGRADE = {
  Connection = "Upgrade", Upgrade = "websocket", ["Sec-WebSocket-Version"] = "13",
  ["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ==",
}
-- These have specs of their own, which do more.
local ELSEWHERE = { ["tutorial.md"] = true, ["templates.md"] = true }

local function pages()
  local list = { "../README.md" }
  local scan = assert(uv.fs_scandir "docs")
  for name in function() return uv.fs_scandir_next(scan) end do
    if name:find "%.md$" then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end


-- The blocks of Lua, and files of any kind.
local function shown_by(name)
  local list = {}
  for _, block in ipairs(documents.blocks(documents.read("docs/" .. name))) do
    if block.language == "lua" or block.path then list[#list + 1] = block end
  end
  return list
end


-- `local hub = require "host.hub"` ... `hub.publish(`: is it there?
local function check_calls(text, place)
  local modules = {}
  for name, module in text:gmatch "local ([%w_]+) = require[ (]*\"([%w_.]+)\"" do
    if module:find "^host%." or module == "web" or module:find "^web%." then
      modules[name] = { name = module, value = require(module) }
    end
  end
  for name, key in text:gsub('"[^"\n]*"', '""'):gmatch "%f[%w_.]([%l_]+)%.([%w_]+)%f[^%w_]" do
    local module = modules[name]
    if module and type(module.value) == "table" then
      assert.is_true(module.value[key] ~= nil, ("%s: %s has no %s"):format(place, module.name, key))
    end
  end
end


-- config.lua has `env`, specs have busted's.
local function check_globals(text, place)
  for _, warning in ipairs(lint(text, { "env", "describe", "it" })) do
    assert.is_nil(warning.message:match "^no global is named [^:]+", place)
  end
end


-- Writes the files that a page shows; where one comes again, what there was is checked before.
local function applications(blocks)
  local list, files = {}, {}
  for _, block in ipairs(blocks) do
    if block.path then
      if files[block.path] then
        list[#list + 1], files = files, {}
      end
      files[block.path] = block.text
    end
  end
  if next(files) then list[#list + 1] = files end
  return list
end


describe("the documents", function()
  for _, name in ipairs(pages()) do
    if not ELSEWHERE[name] then
      it("show Lua that compiles and calls what is there: " .. name, function()
        for _, block in ipairs(shown_by(name)) do
          local place = ("docs/%s:%d"):format(name, block.line)
          if block.language == "lua" then
            assert.is_truthy(load(block.text, "=" .. place, "t"))
            check_calls(block.text, place)
            check_globals(block.text, place)
          end
        end
      end)
    end
  end

  for _, name in ipairs(pages()) do
    local list = ELSEWHERE[name] and {} or applications(shown_by(name))
    if #list > 0 then
      it("show applications that lunacast finds nothing wrong with: " .. name, function()
        for _, files in ipairs(list) do
          local folder = server.folder()
          server.write(folder, files)
          local p = process.run(BINARY, { "check", folder, "--strict" }, { seconds = 60 })
          assert.equal(0, p.code, p.out .. p.err)
        end
      end)
    end
  end

  for _, name in ipairs(pages()) do
    local text = documents.read("docs/" .. name)
    if not ELSEWHERE[name] and text:find "\n```console\n" then
      it("show commands that print what they say: " .. name, function()
        local reader = follow(text, ".")
        reader:on()
        reader:stop()
      end)
    end
  end

  it("have no link to a file that is not there", function()
    for _, name in ipairs(pages()) do
      local text = documents.read("docs/" .. name):gsub("\n```.-\n```", "\n")
      for target in text:gmatch "%]%(([^)#%s]+)[^)]*%)" do
        if not target:find "^%a+:" then
          assert.is_truthy(uv.fs_stat((("docs/" .. name):gsub("[^/]+$", "")) .. target), name .. ": " .. target)
        end
      end
    end
  end)

  it("stand in the list of docs/README.md, each of them", function()
    local index = documents.read "docs/README.md"
    for _, name in ipairs(pages()) do
      assert.is_truthy(name:find "README.md$" or index:find("(" .. name .. ")", 1, true), name)
    end
  end)
end)


-- The application of a page: its files, the last of each path.
local function start(name)
  local files = {}
  for _, block in ipairs(shown_by(name)) do
    if block.path then files[block.path] = block.text end
  end
  return server.start { files = files, workers = 1 }
end


describe("the application of", function()
  it("docs/channels.md brings goals to who listens, and rooms to who is in them", function()
    local app = start "channels.md"
    assert.equal(204, app:post("/goal/red").status)
    local goals = app:sse "/goals"
    wait.till(function() return goals:next().data == "red" end, "the goal of before")
    app:post "/goal/blue"
    assert.equal("blue", goals:next().data)
    assert.equal(400, app:get("/room/a", { headers = UPGRADE }).status)
    local ada, bob = app:ws "/room/a?name=ada", app:ws "/room/a?name=bob"
    ada:send "hello"
    assert.same({ name = "ada", text = "hello" }, json.decode(bob:next()))
    wait.till(function() return app:json("/room/a").count == 2 end, "both to be present")
    wait.till(function() return app:logged "a goal" end, "the task that listens")
    goals:close()
    ada:close()
    bob:close()
    app:stop()
  end)

  it("docs/plugins.md counts on over a reload", function()
    local app = start "plugins.md"
    assert.same({ visits = 101 }, app:json "/visits")
    local reload = process.run(BINARY, { "reload", app.folder })
    assert.equal(0, reload.code, reload.err)
    assert.same({ visits = 102 }, app:json "/visits")
    wait.till(function() return app:metric 'plugin_seconds_total{plugin="visits"}' end, "its time")
    local p = process.run(BINARY, { "visits", "show", "--app", app.folder })
    assert.equal("hello\n", p.out, p.err)
    app:stop()
  end)

  it("docs/sql.md keeps articles, and pays what there is", function()
    local app = start "sql.md"
    local res = app:post("/articles/ann", { json = { title = "tea" } })
    assert.equal(201, res.status, res.body)
    assert.equal("tea", app:json("/articles/ann")[1].title)
    assert.equal(400, app:post("/articles/ann", { json = {} }).status)
    local function pay(amount)
      return app:post("/pay", { json = { from = "ann", to = "bob", amount = amount } }).status
    end
    assert.equal(204, pay(100))
    assert.equal(409, pay(1))
    app:stop()
  end)

  it("docs/routes.md checks what it takes, and who asks", function()
    local app = start "routes.md"
    assert.equal(404, app:get("/cards/7").status)
    assert.same({ limit = 20 }, app:json "/orders")
    assert.equal(400, app:get("/orders?limit=1000").status)
    assert.equal(400, app:post("/orders", { json = { item = "", count = 0 } }).status)
    assert.equal(201, app:post("/orders", { json = { item = "tea", count = 2 } }).status)
    local res = app:get "/mine"
    assert.equal(401, res.status)
    app:stop()
  end)
end)


describe("what is made of the program", function()
  local function printed(...)
    local p = process.run(BINARY, { "lua", "cmake/docs.lua", ... }, { seconds = 60 })
    assert.equal(0, p.code, p.err)
    return p.out
  end

  it("is up to date: docs/reference.md (lunacast lua cmake/docs.lua reference)", function()
    assert.is_true(printed "reference" == documents.read "docs/reference.md")
  end)

  it("is up to date: docs/command-line.md (lunacast lua cmake/docs.lua commands lunacast)", function()
    assert.is_true(printed("commands", BINARY) == documents.read "docs/command-line.md")
  end)

  it("has every function of the modules of scripts", function()
    local reference, missing = documents.read "docs/reference.md", {}
    for module in reference:gmatch '\n## require "([%w_.]+)"' do
      local value = require(module)
      for key, what in pairs(type(value) == "table" and value or {}) do
        local name = module:match "[^.]+$" .. "." .. key
        local callable = type(what) == "function" and (module == "web" or module:find "^host%.")
        if callable and not reference:find("`" .. name, 1, true) then
          missing[#missing + 1] = name
        end
      end
    end
    table.sort(missing)
    assert.same({}, missing)
  end)
end)
