-- What goes wrong around PostgreSQL: it stops, freezes, breaks connections, changes its schema, is not who
-- it should be; and the server lives.
local http = require "spec.support.http"
local json = require "host.json"
local notes = require "spec.support.notes"
local postgres = require "spec.support.postgres"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"

local start, count = notes.start, notes.count


describe("around PostgreSQL", function()
  local pg

  before_each(function() pg = pg or postgres.start() end)

  local function environment(url)
    return { DATABASE_URL = url or (pg:database()), LUNACAST_DATA = server.folder(), REDIS_URL = "" }
  end

  it("a database that stops is 503 until it is back, and then the pool heals", function()
    local app = start(environment())
    assert.equal(200, app:post("/note/1").status)
    pg:down()
    assert.equal(503, app:get("/notes").status)
    assert.equal("alive", app:get("/alive").body)
    assert.equal(503, app:get("/ready").status)
    pg:up()
    assert.equal(1, count(app))
    assert.equal(200, app:get("/ready").status)
    assert.equal(200, app:post("/note/2").status)
    app:stop()
  end)

  it("a server starts without its database, and migrates when it is there", function()
    local env = environment()
    pg:down()
    local app = start(env)
    assert.equal(503, app:get("/notes").status)
    pg:up()
    assert.equal(0, wait.till(function()
      local answer = app:get "/notes"
      return answer.status == 200 and answer:json()[1].n
    end))
    app:stop()
  end)

  it("a connection that is lost in a transaction is an error, and nothing is tried again", function()
    local url, database = pg:database()
    local app = start(environment(url), nil, { workers = 1 })
    local client = app:connect()
    client:send "GET /hold/1?seconds=5 HTTP/1.1\r\nHost: x\r\n\r\n"
    wait.till(function()
      return pg:psql("select count(*) from pg_stat_activity where state = 'idle in transaction'",
        database) == "1"
    end)
    pg:psql(("select pg_terminate_backend(pid) from pg_stat_activity where datname = '%s' "
      .. "and state = 'idle in transaction'"):format(database), "postgres")
    local answer = http.read_response(client)
    assert.equal(503, answer.status)
    local body = json.decode(answer.body)
    assert.equal("unavailable", body.code)
    assert.is_truthy(body.message:find "nothing of .+ was kept", body.message)
    assert.equal(0, count(app))
    app:stop()
  end)

  it("a write whose answer is lost says that it may have been done", function()
    local url, database = pg:database()
    local app = start(environment(url), nil, { workers = 1 })
    count(app)
    pg:psql("create function slow() returns trigger language plpgsql as "
      .. "$$ begin perform pg_sleep(60); return new; end $$; create trigger slow before insert on notes "
      .. "for each row execute function slow()", database)
    local client = app:connect()
    client:send "POST /note/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    wait.till(function()
      return pg:psql("select count(*) from pg_stat_activity where query like 'insert%' and state = 'active'",
        database) == "1"
    end)
    pg:down()
    local body = json.decode(http.read_response(client).body)
    assert.equal("unavailable", body.code)
    assert.is_true(body.unsure)
    pg:up()
    assert.equal(0, count(app))
    app:stop()
  end)

  it("one that is frozen is given up at the limit, without blocking anybody", function()
    local app = start(environment(), { ["sql.timeout"] = "3s" }, { workers = 1 })
    count(app)
    pg:signal "sigstop"
    local client = app:connect()
    client:send "GET /notes HTTP/1.1\r\nHost: x\r\n\r\n"
    for _ = 1, 10 do assert.equal("alive", app:get("/alive").body) end
    assert.equal("", client:peek()) -- still at it
    assert.equal(503, http.read_response(client).status)
    pg:signal "sigcont"
    assert.equal(0, count(app))
    app:stop()
  end)

  it("a host is looked up by name, and a wrong one is told", function()
    local app = start(environment((pg:database():gsub("127%.0%.0%.1", "localhost"))))
    assert.equal(0, count(app))
    app:stop()
    local url = "postgres://postgres@no-such-host.invalid/spec"
    app = start(environment(url), { ["sql.wait"] = "1s" })
    local answer = app:get "/notes"
    assert.equal(503, answer.status)
    assert.is_truthy(answer.body:find("no-such-host.invalid", 1, true), answer.body)
    app:stop()
  end)

  it("prepared statements follow a schema that is changed under them", function()
    local url, database = pg:database()
    local folder = server.folder()
    server.write(folder, { ["spec.lua"] = [[
      local sql = require "host.sql"
      assert(sql.query "create table t (a bigint)")
      assert(sql.query "insert into t values (1)")
      for _ = 1, 3 do assert(sql.query("select * from t")[1].a == 1) end
      assert(sql.query "alter table t add column b text default 'new'")
      assert(assert(sql.query("select * from t"))[1].b == "new")
      assert(sql.transaction(function(tx) return tx.query "select * from t" end)[1].b == "new")
      for i = 1, 500 do assert(sql.query("select a + " .. i .. " as v from t")[1].v == i + 1) end
      local _, message, code = sql.query "select array[1, 2] as list"
      assert(code == "type" and message:find "array_to_json", message)
      assert(sql.query("select sum(a) as s, avg(a) as m, 1.5::numeric as n from t")[1].n == 1.5)
    ]] })
    local result = process.run(server.BINARY, { "lua", folder .. "/spec.lua" }, { env = environment(url) })
    assert.equal(0, result.code, result.err)
    assert.equal("1", pg:psql("select count(*) from t", database))
  end)

  it("a wrong URL stops the start and says what is wrong", function()
    for url, word in pairs { ["mysql://x/y"] = "postgres://", ["postgres://x/y?nonsense=1"] = "nonsense" } do
      local app = server.launch { env = { DATABASE_URL = url } }
      assert.not_equal(0, (app.process:wait()))
      assert.is_truthy(app.process.err:find(word, 1, true), app.process.err)
    end
  end)

  it("speaks TLS where the URL says so, and checks the certificate's name", function()
    local secure = postgres.start {
      args = { "-c", "ssl=on" },
      prepare = function(folder)
        local key, cert = folder .. "/server.key", folder .. "/server.crt"
        local made = process.run("openssl", { "req", "-x509", "-newkey", "ec", "-pkeyopt",
          "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj",
          "/CN=localhost", "-addext", "subjectAltName=DNS:localhost" })
        assert.equal(0, made.code, made.err)
        local owner = uv.fs_stat(folder)
        uv.fs_chown(key, owner.uid, owner.gid)
        uv.fs_chown(cert, owner.uid, owner.gid)
        uv.fs_chmod(key, 384)
      end,
    }
    local ca = server.folder() .. "/ca.crt"
    process.run("cp", { secure.folder .. "/data/server.crt", ca })
    local base = secure.url:gsub("127%.0%.0%.1", "localhost") .. "/postgres"
    local verified = base .. "?sslmode=verify-full&sslrootcert=" .. ca
    local app = start(environment(verified))
    assert.equal(0, count(app))
    app:stop()
    app = start(environment((verified:gsub("localhost", "127.0.0.1"))), { ["sql.wait"] = "1s" })
    local answer = app:get "/notes"
    assert.equal(503, answer.status)
    assert.is_truthy(answer.body:lower():find("certificate", 1, true), answer.body)
    app:stop()
    secure:down()
  end)
end)
