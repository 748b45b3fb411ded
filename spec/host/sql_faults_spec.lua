-- What goes wrong around a database: it is slow, locked, full, killed; and the server lives.
local databases = require "spec.support.databases"
local http = require "spec.support.http"
local json = require "host.json"
local notes = require "spec.support.notes"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"

local start, count = notes.start, notes.count

for name, environment in pairs(databases.drivers) do
  describe("around a database, " .. name, function()
    it("a slow statement ends at its limit, and others are answered meanwhile", function()
      local app = start(environment())
      local slow = app:connect()
      slow:send "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
      for _ = 1, 20 do assert.equal("alive", app:get("/alive").body) end
      assert.equal(0, app:json("/notes")[1].n)
      assert.equal("", slow:peek()) -- still at it
      local answer = http.read_response(slow)
      assert.equal(503, answer.status)
      assert.equal("timeout", json.decode(answer.body).code)
      app:stop()
    end)

    it("a transaction whose client has left is rolled back, and its connection serves others", function()
      local app = start(environment(), { ["sql.pool"] = 1 }, { workers = 1 })
      for id = 1, 3 do
        notes.hold(app, id, 60):close()
        assert.equal(200, wait.till(function()
          local answer = app:post("/note/" .. id + 100)
          return answer.status == 200 and answer
        end).status)
      end
      assert.equal(3, count(app))
      assert.is_true(app:metric "lunacast_sql_abandoned_total" >= 3)
      app:stop()
    end)

    it("a transaction whose script was stopped is rolled back, and others write at once", function()
      local app = start(environment(), { ["sql.pool"] = 1 }, { workers = 1 })
      for id = 1, 3 do
        assert.equal(500, app:post("/stuck/" .. id).status)
        assert.equal(200, app:post("/note/" .. id + 100).status)
      end
      assert.equal(3, count(app))
      app:stop()
    end)

    it("waiting for a connection ends with 503 within the limit, while the server lives", function()
      local app = start(environment(), { ["sql.pool"] = 1, ["sql.wait"] = "300ms" }, { workers = 1 })
      assert.equal(0, count(app)) -- with so short a wait the start may have gone on without its database
      local client = notes.hold(app, 1, 60)
      local answer = app:post "/note/2"
      assert.equal(503, answer.status, answer.body)
      assert.equal("unavailable", answer:json().code)
      assert.equal("", client:peek())
      assert.equal("alive", app:get("/alive").body)
      assert.is_true(app:metric "lunacast_sql_refused_total" >= 1)
      client:close()
      app:stop()
    end)

    it("a shutdown rolls back what is open and leaves nothing behind", function()
      local app = start(environment(), { drain = "1s" })
      notes.hold(app, 1, 30)
      local slow = app:connect()
      slow:send "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
      wait.pause(0.2)
      app:stop()
      app = app:restart()
      assert.equal(0, count(app))
      app:stop()
    end)

    it("kill -9 in writes loses nothing that was acknowledged #workers", function()
      local env = environment()
      local app = start(env)
      local acknowledged, id = {}, 0
      for _ = 1, 3 do
        local from = id
        for _ = 1, 60 do
          id = id + 1
          if app:post("/note/" .. id).status == 200 then acknowledged[id] = true end
        end
        local writers = {}
        for i = 1, 5 do -- in flight when it dies
          writers[i] = app:connect()
          writers[i]:send(("POST /note/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"):format(id + i))
        end
        id = id + 5
        app:crash()
        app = app:restart()
        assert.is_true(count(app) >= id - from - 5)
      end
      app:stop()
      local check = [[
        local sql = require "host.sql"
        if sql.name == "sqlite" then
          assert(sql.query("select * from pragma_integrity_check")[1].integrity_check == "ok")
        end
        local ids = {}
        for _, row in ipairs(assert(sql.query "select id from notes")) do ids[#ids + 1] = row.id end
        print(table.concat(ids, " "))
      ]]
      server.write(app.folder, { ["check.lua"] = check })
      local result = process.run(server.BINARY, { "lua", app.folder .. "/check.lua" }, { env = env })
      assert.equal(0, result.code, result.err)
      local there = {}
      for word in result.out:gmatch "%d+" do there[tonumber(word)] = true end
      for number in pairs(acknowledged) do assert.is_true(there[number], number .. " is lost") end
    end)
  end)
end


describe("around SQLite", function()
  -- Another program that holds the file: it writes inside a transaction and stays.
  local function hold(env, seconds)
    local folder = server.folder()
    server.write(folder, { ["hold.lua"] = ([[
      local sql = require "host.sql"
      assert(sql.transaction(function(tx)
        assert(tx.query "insert into notes (id, body) values (1000, 'other')")
        print "held"
        io.stdout:flush()
        require("host.time").sleep(%g)
      end, { timeout = 60 }))
    ]]):format(seconds) })
    local other = process.spawn(server.BINARY, { "lua", folder .. "/hold.lua" }, { env = env })
    wait.till(function() return other.out:find "held" or not other:running() end)
    return other
  end

  it("a write waits for another program's lock, as long as its limit allows", function()
    local env = databases.drivers.sqlite()
    local app = start(env)
    local other = hold(env, 1)
    assert.equal(200, app:post("/note/1").status)
    assert.equal(0, (other:wait()), other.err)
    assert.equal(2, count(app))
    app:stop()
  end)

  it("a file that stays locked is an answer of 503 with the code busy; readers go on", function()
    local env = databases.drivers.sqlite()
    local app = start(env, { ["sql.timeout"] = "1s" })
    local other = hold(env, 30)
    local answer = app:post "/note/1"
    assert.equal(503, answer.status)
    assert.equal("busy", answer:json().code)
    assert.equal(0, app:json("/notes")[1].n)
    other:kill "sigkill"
    other:wait()
    assert.equal(200, app:post("/note/1").status)
    app:stop()
  end)

  it("a full disk is an answer of 507, the transaction is undone, and the server lives", function()
    local env = databases.drivers.sqlite()
    local limited = server.folder() .. "/limited"
    local file = assert(io.open(limited, "w"))
    -- No file of the process may grow beyond 512 KiB; it is told by an error, not by a signal.
    file:write(("#!/bin/sh\ntrap '' XFSZ\nulimit -f 1024\nexec %s/%s \"$@\"\n"):format(uv.cwd(),
      server.BINARY))
    file:close()
    assert(uv.fs_chmod(limited, 493))
    local app = start(env, nil, { binary = limited })
    local answer
    for id = 1, 100 do
      answer = app:post(("/note/%d?size=60000"):format(id))
      if answer.status ~= 200 then break end
    end
    assert.equal(507, answer.status, answer.body)
    assert.equal("full", answer:json().code)
    local before = count(app)
    assert.is_true(before >= 1)
    assert.equal("alive", app:get("/alive").body)
    assert.equal(before, count(app))
    app:stop()
    app = server.start { folder = app.folder, data = app.data, env = env }
    assert.equal(before, count(app))
    assert.equal(200, app:post("/note/200?size=60000").status)
    app:stop()
  end)

  it("a file that is no database is an answer of 503 that says why", function()
    local env = databases.drivers.sqlite()
    server.write(env.LUNACAST_DATA, { ["sql.db"] = ("this is no database "):rep(100) })
    local app = start(env)
    local answer = app:get "/notes"
    assert.equal(503, answer.status)
    assert.is_truthy(answer.body:find("not a database", 1, true), answer.body)
    app:stop()
  end)
end)


describe("a hundred crashes", function()
  it("of SQLite in writes leave a whole file with every acknowledged row #soak", function()
    local env = databases.drivers.sqlite()
    local app = start(env)
    local acknowledged, id = 0, 0
    for _ = 1, 100 do
      for _ = 1, math.random(5, 40) do
        id = id + 1
        if app:post("/note/" .. id).status == 200 then acknowledged = acknowledged + 1 end
      end
      for i = 1, 3 do
        local writer = http.connect(app)
        writer:send(("POST /note/%d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"):format(1000000 + id * 10 + i))
      end
      app:crash()
      app = app:restart()
      assert.is_true(count(app) >= acknowledged)
    end
    app:stop()
    server.write(app.folder, { ["check.lua"] = [[
      local sql = require "host.sql"
      assert(sql.query("select * from pragma_integrity_check")[1].integrity_check == "ok")
    ]] })
    local result = process.run(server.BINARY, { "lua", app.folder .. "/check.lua" }, { env = env })
    assert.equal(0, result.code, result.err)
  end)
end)
