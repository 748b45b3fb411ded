-- Files change in many ways; what serves is always one whole set of them.
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"

local function route(word)
  return ('return { path = "/word", GET = function() return { body = "%s" } end }'):format(word)
end

local function start(options)
  options = options or {}
  options.files = options.files or { ["lua/routes/word.lua"] = route "one" }
  options.workers = 1
  return server.start(options)
end

local function answers(app, word)
  wait.till(function() return app:get("/word").body == word end, "the answer " .. word)
end

local function path_of(app)
  return app.folder .. "/lua/routes/word.lua"
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end


describe("a saved file", function()
  it("may be a new one that is renamed over the old one", function()
    local app = start()
    for n = 1, 3 do
      write(app.folder .. "/lua/routes/.word.lua.swp", route("n" .. n))
      assert(os.rename(app.folder .. "/lua/routes/.word.lua.swp", path_of(app)))
      answers(app, "n" .. n)
    end
    app:stop()
  end)

  it("may be moved away to a backup first, and written anew", function()
    local app = start()
    assert(os.rename(path_of(app), path_of(app) .. "~"))
    write(path_of(app), route "two")
    answers(app, "two")
    app:stop()
  end)

  it("may be truncated first, and written later: nothing of the half is served", function()
    local app = start()
    local file = assert(io.open(path_of(app), "wb"))
    file:flush()
    app:logged "word.lua"
    assert.equal("one", app:get("/word").body)
    local text = route "two"
    file:write(text:sub(1, 30))
    file:flush()
    wait.till(function() return (app:metric "lunacast_reloads_failed_total" or 0) >= 2 end)
    assert.equal("one", app:get("/word").body)
    file:write(text:sub(31))
    file:close()
    answers(app, "two")
    app:stop()
  end)

  it("may be written twice in a row", function()
    local app = start()
    write(path_of(app), route "half")
    write(path_of(app), route "two")
    answers(app, "two")
    app:stop()
  end)

  it("may be saved a hundred times in a row: what serves last is what was saved last", function()
    local app, began = start(), wait.now()
    for n = 1, 100 do
      write(path_of(app), route("n" .. n))
      wait.pause(0.01)
    end
    answers(app, "n100")
    local seconds = wait.now() - began
    assert.is_true(app:metric "lunacast_reloads_total" <= 25 * math.max(1, seconds))
    app:stop()
  end)

  it("may be deleted, and come back", function()
    local app = start()
    os.remove(path_of(app))
    wait.till(function() return app:get("/word").status == 404 end, "the route to go")
    write(path_of(app), route "back")
    answers(app, "back")
    app:stop()
  end)

  it("may lie in a folder that is new", function()
    local app = start { files = { ["config.lua"] = "return {}" } }
    server.write(app.folder, { ["lua/routes/word.lua"] = route "new" })
    answers(app, "new")
    write(path_of(app), route "newer")
    answers(app, "newer")
    app:stop()
  end)
end)


describe("a release", function()
  local function release(base, name, word)
    uv.fs_mkdir(base .. "/" .. name, 493)
    server.write(base .. "/" .. name, {
      ["lua/routes/word.lua"] = route(word),
      ["lua/routes/other.lua"] = ('return { path = "/other", GET = function() return { body = "%s" } end }')
        :format(word),
    })
  end

  it("goes live when the symlink is renamed over, again and again", function()
    local base = server.folder()
    for n = 1, 4 do release(base, "r" .. n, "r" .. n) end
    assert(uv.fs_symlink(base .. "/r1", base .. "/current"))
    local app = server.start { folder = base .. "/current", data = base .. "/data", workers = 1 }
    answers(app, "r1")
    for n = 2, 4 do
      assert(uv.fs_symlink(base .. "/r" .. n, base .. "/next"))
      assert(os.rename(base .. "/next", base .. "/current"))
      answers(app, "r" .. n)
      assert.equal("r" .. n, app:get("/other").body)
    end
    write(base .. "/r4/lua/routes/word.lua", route "edited") -- the new one is watched too
    answers(app, "edited")
    app:stop()
  end)

  it("that is away for a moment does not leave an empty application behind", function()
    local base = server.folder()
    release(base, "app", "one")
    release(base, "new", "two")
    local app = server.start { folder = base .. "/app", data = base .. "/data", workers = 1 }
    answers(app, "one")
    assert(os.rename(base .. "/app", base .. "/old"))
    app:logged "the application's folder is gone"
    assert.equal("one", app:get("/word").body)
    assert(os.rename(base .. "/new", base .. "/app"))
    answers(app, "two")
    app:stop()
  end)
end)
