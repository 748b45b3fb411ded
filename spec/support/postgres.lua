-- A PostgreSQL for a spec: Debian's server, on a free port, with a folder of its own, as the user postgres
-- (it refuses to run as root).
--   local pg = postgres.start()
--   local app = server.start { env = { DATABASE_URL = pg:database() } }
--   pg:down(); pg:up()
local process = require "spec.support.process"
local uv = require "luv"
local wait = require "spec.support.wait"
local wire = require "spec.support.wire"

local postgres = {}
local Postgres = {}
Postgres.__index = Postgres
local made = 0


local function binary(name)
  local found
  local scan = uv.fs_scandir "/usr/lib/postgresql"
  while scan do
    local version = uv.fs_scandir_next(scan)
    if not version then break end
    local path = ("/usr/lib/postgresql/%s/bin/%s"):format(version, name)
    if uv.fs_stat(path) then found = path end
  end
  return assert(found, "PostgreSQL is not installed: apt-get install postgresql")
end


-- As the user postgres where we are root: setpriv becomes the program, so its signals arrive.
local function as_user(command, args)
  if uv.getuid() ~= 0 then return command, args end
  local all = { "--reuid=postgres", "--regid=postgres", "--init-groups", command }
  return "setpriv", table.move(args, 1, #args, #all + 1, all)
end


local function new_folder()
  local folder = assert(uv.fs_mkdtemp "/tmp/lunacast-postgres-XXXXXX")
  if uv.getuid() == 0 then
    local id = tonumber(process.run("id", { "-u", "postgres" }).out)
    local group = tonumber(process.run("id", { "-g", "postgres" }).out)
    assert(uv.fs_chown(folder, id, group))
  end
  process.forget_folder(folder)
  return folder
end


--- Starts the process and waits until it answers.
function Postgres:up()
  local args = {
    "-D", self.folder .. "/data", "-p", tostring(self.port), "-k", self.folder,
    "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "full_page_writes=off",
    "-c", "shared_buffers=16MB", "-c", "max_connections=60",
  }
  for _, word in ipairs(self.options.args or {}) do args[#args + 1] = word end
  self.process = process.spawn(as_user(binary "postgres", args))
  wait.till(function()
    return self.process.err:find("ready to accept connections", 1, true) or not self.process:running()
  end, "postgres", 30)
  if not self.process:running() then error("postgres did not start:\n" .. self.process.err, 2) end
  return self
end


---@param options? { args?: string[], prepare?: fun(folder: string) } prepare: before the first start
function postgres.start(options)
  local self = setmetatable({ options = options or {} }, Postgres)
  self.folder = new_folder()
  self.port = wire.free_port()
  self.url = ("postgres://postgres@127.0.0.1:%d"):format(self.port)
  local command, args = as_user(binary "initdb",
    { "-D", self.folder .. "/data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync" })
  local done = process.run(command, args, { seconds = 60 })
  if done.code ~= 0 then error("initdb failed:\n" .. done.out .. done.err, 2) end
  if self.options.prepare then self.options.prepare(self.folder .. "/data") end
  return self:up()
end


--- The shared one; one of the spec file's own where ./test is not around.
function postgres.shared()
  local url = os.getenv "SPEC_POSTGRES_URL"
  if url then return setmetatable({ url = url, port = tonumber(url:match ":(%d+)$") }, Postgres) end
  postgres.own = postgres.own or postgres.start()
  return postgres.own
end


--- Ends it at once, as a crash does; connections break.
function Postgres:down()
  self.process:kill "sigcont"
  self.process:kill "sigquit"
  self.process:wait()
end


--- Stops answering, without closing anything: the server and its connections' processes.
function Postgres:signal(signal)
  self.process:kill(signal)
  for pid in process.run("pgrep", { "-P", tostring(self.process.pid) }).out:gmatch "%d+" do
    uv.kill(tonumber(pid), signal)
  end
end


--- Runs SQL by psql and returns what it prints.
function Postgres:psql(text, database)
  local done = process.run("psql", { "-XqAt", "-h", "127.0.0.1", "-p", tostring(self.port), "-U", "postgres",
    "-d", database or "postgres", "-c", text })
  if done.code ~= 0 then error("psql: " .. done.err, 2) end
  return (done.out:gsub("\n$", ""))
end


--- A new, empty database: its URL and its name.
function Postgres:database()
  made = made + 1
  local name = ("spec_%d_%d"):format(uv.os_getpid(), made)
  self:psql("create database " .. name)
  return self.url .. "/" .. name, name
end

return postgres
