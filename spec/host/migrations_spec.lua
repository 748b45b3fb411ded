-- Migrations: applied once, at the start or by `lunacast migrate`, recorded, and never changed after.
local databases = require "spec.support.databases"
local json = require "host.json"
local process = require "spec.support.process"
local server = require "spec.support.server"

local TABLE = "create table notes (id integer primary key, body text not null);\n"
local ROUTE = [[
local sql = require "host.sql"
local web = require "web"
return {
  path = "/count/{table}",
  GET = function(req)
    local rows, message, code = sql.query("select count(*) as n from " .. req.params.table)
    return web.json(rows and rows[1] or { message = message, code = code })
  end,
}
]]

for name, environment in pairs(databases.drivers) do
  describe("migrations, " .. name, function()
    local folder, env

    before_each(function()
      env = environment()
      folder = server.folder()
      server.write(folder, { ["lua/routes/count.lua"] = ROUTE })
    end)

    local function write(files) server.write(folder, files) end

    local function remove(file) assert(os.remove(folder .. "/" .. file)) end

    local function start()
      return server.start { folder = folder, env = env, data = env.LUNACAST_DATA }
    end

    local function migrate(...)
      return process.run(server.BINARY, { "migrate", folder, ... }, { env = env })
    end

    local function refuses(words)
      local app = server.launch { folder = folder, env = env, data = env.LUNACAST_DATA }
      local code = app.process:wait()
      assert.equal(1, code, app.process.err)
      for _, word in ipairs(words) do
        assert.is_truthy(app.process.err:find(word, 1, true), word .. " in:\n" .. app.process.err)
      end
      assert.is_nil(app.process.out:find "ready")
    end

    it("are applied when the server starts, in order, and once", function()
      write {
        ["migrations/0002_seed.sql"] = "insert into notes (id, body) values (1, 'a;b');\n"
          .. "insert into notes (id, body) values (2, 'c')",
        ["migrations/0001_notes.sql"] = "-- the notes; a table\n" .. TABLE,
      }
      local app = start()
      assert.same({ n = 2 }, app:json "/count/notes")
      app:stop()
      app = app:restart()
      assert.same({ n = 2 }, app:json "/count/notes")
      app:stop()
    end)

    it("are applied and shown by the command", function()
      write { ["migrations/0001_notes.sql"] = TABLE }
      local status = migrate "--status"
      assert.equal(1, status.code, status.err)
      assert.is_truthy(status.out:find("app%s+0001_notes%s+pending"), status.out)
      local done = migrate()
      assert.equal(0, done.code, done.err)
      assert.is_truthy(done.out:find("applied 0001_notes of app", 1, true), done.out)
      assert.equal("", done.err)
      assert.is_truthy(migrate().out:find "nothing to apply")
      status = migrate "--status"
      assert.equal(0, status.code, status.out)
      assert.is_truthy(status.out:find "app%s+0001_notes%s+applied%s+%d%d%d%d%-%d%d%-%d%dT")
    end)

    it("that were changed after they were applied stop the start, by name", function()
      write { ["migrations/0001_notes.sql"] = TABLE }
      assert.equal(0, migrate().code)
      write { ["migrations/0001_notes.sql"] = TABLE .. "-- a word more" }
      refuses { "migrations/0001_notes.sql", "changed" }
      assert.is_truthy(migrate("--status").out:find "0001_notes%s+changed")
    end)

    it("that are missing stop the start, by name", function()
      write { ["migrations/0001_notes.sql"] = TABLE, ["migrations/0002_more.sql"] = "create table more (a text)" }
      assert.equal(0, migrate().code)
      remove "migrations/0001_notes.sql"
      refuses { "migrations/0001_notes.sql", "missing" }
      assert.is_truthy(migrate("--status").out:find "0001_notes%s+missing")
    end)

    it("that fail half way leave nothing behind, and name file, line and reason", function()
      write {
        ["migrations/0001_notes.sql"] = TABLE,
        ["migrations/0002_bad.sql"] = "create table half (a text);\n\ninsert into nowhere values (1);\n",
      }
      refuses { "migrations/0002_bad.sql:3: ", "nowhere" }
      remove "migrations/0002_bad.sql"
      local app = start()
      assert.same({ n = 0 }, app:json "/count/notes")
      assert.equal("syntax", app:json("/count/half").code)
      app:stop()
    end)

    it("that have no statement are not taken for done: their text may be still to come", function()
      write { ["migrations/0001_notes.sql"] = "-- the notes\n" }
      refuses { "migrations/0001_notes.sql: there is no statement in it" }
      write { ["migrations/0001_notes.sql"] = "-- the notes\n" .. TABLE }
      assert.equal(0, migrate().code)
    end)

    it("that are added later wait for the command or the next start, and a reload says so", function()
      local app = start()
      write { ["migrations/0001_notes.sql"] = TABLE }
      local function reload(...)
        return process.run(server.BINARY, { "reload", folder, ... }, { env = env })
      end
      local done = reload()
      assert.equal(0, done.code, done.err)
      assert.is_truthy(done.err:find("migration 0001_notes of app is pending", 1, true), done.err)
      assert.equal("pending", json.decode(reload("--json").out).migrations[1].state)
      local line = app:logged "a migration waits: `lunacast migrate` applies it"
      assert.equal("0001_notes", line.name)
      assert.equal("syntax", app:json("/count/notes").code)
      assert.equal(0, migrate().code)
      assert.same({ n = 0 }, app:json "/count/notes")
      assert.equal("", reload().err)
      app:stop()
    end)

    it("have names with a number of their own", function()
      write { ["migrations/first.sql"] = TABLE }
      refuses { "migrations/first.sql", "0001_users.sql" }
      remove "migrations/first.sql"
      write { ["migrations/0001_a.sql"] = TABLE, ["migrations/0001_b.sql"] = TABLE }
      refuses { "0001_b.sql", "0001_a", "same number" }
    end)

    it("may have a file for each dialect", function()
      write {
        ["migrations/0001_x.sqlite.sql"] = "create table of_sqlite (a text)",
        ["migrations/0001_x.postgres.sql"] = "create table of_postgres (a jsonb)",
      }
      local app = start()
      assert.same({ n = 0 }, app:json("/count/of_" .. name))
      app:stop()
      write { ["migrations/0002_y." .. (name == "sqlite" and "postgres" or "sqlite") .. ".sql"] = TABLE }
      refuses { "migrations/0002_y", "no file for " .. name }
    end)

    it("of a plugin are applied when it is enabled", function()
      write {
        ["config.lua"] = 'return { plugins = { "book" } }',
        ["plugins/book/init.lua"] = 'return { name = "book" }',
        ["plugins/book/migrations/0001_pages.sql"] = "create table pages (a text)",
      }
      local done = migrate()
      assert.is_truthy(done.out:find("applied 0001_pages of plugin book", 1, true), done.out .. done.err)
      write { ["config.lua"] = "return { plugins = {} }" }
      local status = migrate "--status"
      assert.equal(0, status.code, status.out .. status.err)
      assert.is_truthy(status.out:find "0001_pages%s+not in use")
    end)

    it("run once when several nodes start at the same moment", function()
      local files = {}
      for i = 1, 5 do
        files[("migrations/%04d_step.sql"):format(i)] =
          ("create table step%d (a text); insert into step%d values ('x')"):format(i, i)
      end
      write(files)
      local commands = {}
      for i = 1, 4 do
        commands[i] = process.spawn(server.BINARY, { "migrate", folder }, { env = env })
      end
      local applied = 0
      for _, command in ipairs(commands) do
        assert.equal(0, (command:wait()), command.err)
        applied = applied + select(2, command.out:gsub("applied [^\n]*step", ""))
      end
      assert.equal(5, applied)
      local app = start()
      for i = 1, 5 do assert.same({ n = 1 }, app:json("/count/step" .. i)) end
      app:stop()
    end)
  end)
end
