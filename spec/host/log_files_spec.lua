-- log.folder: the lines of each kind in a file of its own, whatever happens to the folder.
local http = require "spec.support.http"
local json = require "host.json"
local process = require "spec.support.process"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local ROUTES = { ["lua/routes/x.lua"] = [[
  local logs = require "web.logs"
  local sql = require "host.sql"
  local web = require "web"
  return {
    { path = "/bug", GET = function() error "a bug of the handler" end },
    { path = "/auth", GET = function()
      logs.auth("login", { user = "ada", password = "never shown", token = "nor this" })
      return web.text "hi"
    end },
    { path = "/slow", GET = function()
      local till = os.clock() + 0.03
      while os.clock() < till do end
      return web.text "at last"
    end },
    { path = "/sql", GET = function()
      return sql.query("select $1 as one", { "a value" })
    end },
  }]] }

local function start(folder, set, workers)
  set = set or {}
  set["log.folder"] = folder
  return server.start { files = ROUTES, set = set, workers = workers or 1 }
end

local function text_of(path)
  local file = io.open(path, "rb")
  if not file then return "" end
  local text = file:read "a"
  file:close()
  return text
end

local function lines_of(path)
  local lines = {}
  for line in text_of(path):gmatch "[^\n]+" do lines[#lines + 1] = assert(json.decode(line)) end
  return lines
end

local function find(path, field, value)
  return wait.till(function()
    for _, line in ipairs(lines_of(path)) do
      if line[field] == value then return line end
    end
  end, ("%s = %s in %s"):format(field, value, path))
end

local function run(program, ...)
  local done = process.run(program, { ... })
  assert(done.code == 0, done.err)
end


describe("the log's files", function()
  it("part the lines by kind, and keep secrets out", function()
    local folder = server.folder() .. "/new/logs"
    local app = start(folder, { ["sql.slow"] = "1ms", ["lua.warn_ms"] = 5 })
    assert.equal(200, app:get("/auth").status)
    assert.equal(500, app:get("/bug").status)
    assert.equal(200, app:get("/slow").status)
    assert.equal("login", find(folder .. "/auth.log", "kind", "auth").event)
    assert.equal(200, find(folder .. "/api.log", "path", "/auth").status)
    find(folder .. "/api.log", "path", "/bug")
    assert.equal("error", find(folder .. "/error.log", "level", "error").level)
    assert.is_true(find(folder .. "/performance.log", "event", "slow_turn").cpu_us > 5000)
    assert.is_nil(text_of(folder .. "/auth.log"):find "never shown")
    assert.is_nil(text_of(folder .. "/auth.log"):find "nor this")
    for _, line in ipairs(app:log()) do
      assert.is_nil(line.kind, "a line of a kind on stderr")
    end
    assert.is_true(app:metric "lunacast_log_auth_lines_total" >= 1)
    assert.is_true(app:metric "lunacast_log_api_lines_total" >= 3)
    assert.is_true(app:metric "lunacast_log_error_lines_total" >= 1)
    assert.is_true(app:metric "lunacast_log_performance_lines_total" >= 1)
    assert.equal(0, app:metric "lunacast_log_lines_lost_total")
    app:stop()
  end)

  it("are put aside at their size, and the oldest go", function()
    local folder = server.folder()
    local app = start(folder, { ["log.rotate"] = 2000, ["log.keep"] = 2 })
    for _ = 1, 60 do app:get "/hello/a" end
    wait.till(function() return text_of(folder .. "/api.log.2") ~= "" end, "two files put aside")
    for _, name in ipairs { "api.log", "api.log.1", "api.log.2" } do
      local size = #text_of(folder .. "/" .. name)
      assert.is_true(size < 2600, name .. " has " .. size .. " bytes")
      lines_of(folder .. "/" .. name)
    end
    assert.equal("", text_of(folder .. "/api.log.3"))
    app:stop()
  end)

  it("lose no line and part none, when all workers write while they are put aside #workers", function()
    local folder, clients, lines = server.folder(), {}, 0
    local app = start(folder, { ["log.rotate"] = 5000, ["log.keep"] = 1000 }, 4)
    for i = 1, 12 do clients[i] = app:connect() end
    for round = 1, 10 do
      for i, c in ipairs(clients) do
        c:post(http.format("GET", ("/hello/%d-%d"):format(i, round)):rep(5))
      end
      app.process:kill "sighup"
      for _, c in ipairs(clients) do
        for _ = 1, 5 do assert.equal(200, http.read_response(c, "GET", 60).status) end
      end
    end
    local files = process.run("/bin/ls", { folder }).out
    for name in files:gmatch "api%.log[%.%d]*" do lines = lines + #lines_of(folder .. "/" .. name) end
    assert.equal(600, lines)
    for _, c in ipairs(clients) do c:close() end
    app:stop()
  end)

  it("are begun anew after somebody moved them, at SIGHUP", function()
    local folder = server.folder()
    local app = start(folder)
    app:get "/hello/before"
    find(folder .. "/api.log", "path", "/hello/before")
    run("/bin/mv", folder .. "/api.log", folder .. "/api.old")
    app.process:kill "sighup"
    wait.till(function()
      app:get "/hello/meanwhile"
      return text_of(folder .. "/api.log") ~= ""
    end, "lines in a new file")
    app:get "/hello/after"
    find(folder .. "/api.log", "path", "/hello/after")
    assert.is_nil(text_of(folder .. "/api.old"):find("/hello/after", 1, true))
    app:stop()
  end)

  it("come back when their folder has vanished", function()
    local folder = server.folder() .. "/logs"
    local app = start(folder)
    run("/bin/rm", "-r", folder)
    wait.till(function()
      assert.equal(200, app:get("/hello/again").status)
      return text_of(folder .. "/api.log") ~= ""
    end, "a new folder")
    app:stop()
  end)

  it("lose lines to a full disk, count them and say so once, and all is answered", function()
    local folder = server.folder()
    run("/bin/ln", "-s", "/dev/full", folder .. "/api.log")
    local app = start(folder)
    for _ = 1, 20 do assert.equal(200, app:get("/hello/a").status) end
    assert.is_true(app:metric "lunacast_log_lines_lost_total" >= 20)
    local _, said = app.process.err:gsub("api%.log takes no lines", "")
    assert.equal(1, said)
    app:stop()
  end)

  it("refuse a folder that can't be made, with what is wrong", function()
    local app = server.launch { set = { ["log.folder"] = "/dev/null/logs" } }
    assert.equal(1, (app.process:wait(30)))
    assert.matches("log.folder: /dev/null/logs/auth.log: Not a directory", app.process.err, 1, true)
  end)
end)


describe("a slow statement", function()
  it("is said with its text and without its values", function()
    local app = server.start { files = ROUTES, set = { ["sql.slow"] = "1ms" }, workers = 1 }
    local line
    wait.till(function()
      app:get "/sql"
      for _, one in ipairs(app:log()) do
        if one.event == "slow_sql" and one.sql:find "select" then line = one end
      end
      return line
    end, "a slow statement")
    assert.equal("performance", line.kind)
    assert.is_nil(app.process.err:find("a value", 1, true))
    app:stop()
  end)
end)
