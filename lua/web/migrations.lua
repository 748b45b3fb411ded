-- Migrations: numbered files of SQL that bring the database to where the code expects it.
--
--   lua/migrations/NNNN_name.sql            the framework's own, in the binary
--   plugins/NAME/migrations/NNNN_name.sql   of each enabled plugin
--   migrations/NNNN_name.sql                the application's
--
-- NNNN_name.sqlite.sql and NNNN_name.postgres.sql stand in for one file where the dialects differ.
-- Each is applied once, in the order of their numbers (framework, plugins, application), in a
-- transaction of its own, and recorded with its SHA-256. What was applied is never changed: a file
-- that differs from its record, or is gone, stops the start and is named.
--
-- Nodes that start at the same time wait for each other at the transaction: SQLite has one writer,
-- on PostgreSQL it begins with an advisory lock; who comes second finds the record. Rejected: a
-- lease of the store, which says nothing about who shares this database.
--
-- A reload applies them in development only. Elsewhere files may arrive one by one, and the old
-- scripts still serve: it says which ones wait.
local config = require "host.config"
local crypto = require "host.crypto"
local file = require "host.file"
local log = require "host.log"
local sql = require "host.sql"
local time = require "host.time"

local migrations = {
  ---@type boolean|nil the database was away: lua/start/migrations.lua goes on; nil: nobody tried
  pending = nil,
}

local TABLE = "lunacast_migrations"
local LOCK = 7310575170301029 -- an advisory lock is a number that others don't use
local LIMIT = 3600 -- seconds for one migration
local BUSY_ROUNDS, BUSY_PAUSE = 60, 1

---@class web.Migration
---@field source string "lunacast", "plugin chat", "app"
---@field name string "0001_users"
---@field path string
---@field text string
---@field digest string

-- Files ---------------------------------------------------------------------------------------

local function sources()
  local list = { { name = "lunacast", folder = "lua/migrations" } }
  for _, entry in ipairs(config.section and config.section "plugins" or {}) do
    local name = type(entry) == "table" and entry[1] or entry
    if type(name) == "string" then
      local folder = ("plugins/%s/migrations"):format(name)
      list[#list + 1] = { name = "plugin " .. name, folder = folder }
    end
  end
  list[#list + 1] = { name = "app", folder = "migrations" }
  return list
end


local function wrong(path, what, ...)
  error({ message = ("%s: " .. what):format(path, ...), code = "migration" }, 0)
end


-- "0001_users.postgres.sql" -> "0001_users", "postgres"
local function parse(path, entry)
  local stem, dialect = entry:match "^(%d%d%d%d_[%w_-]+)%.(%l+)%.sql$"
  if not stem then stem = entry:match "^(%d%d%d%d_[%w_-]+)%.sql$" end
  if not stem then wrong(path, "migrations have names like 0001_users.sql") end
  if dialect and dialect ~= "sqlite" and dialect ~= "postgres" then
    wrong(path, "no dialect %q; sqlite and postgres are known", dialect)
  end
  return stem, dialect or "any"
end


-- { ["0001_users"] = { any = path, sqlite = path, postgres = path } } and the sorted names.
local function find(source)
  local found, names, numbers = {}, {}, {}
  for _, entry in ipairs(file.list(source.folder)) do
    local path = source.folder .. "/" .. entry
    if entry:find "%.sql$" then
      local stem, dialect = parse(path, entry)
      local number = stem:sub(1, 4)
      if numbers[number] and numbers[number] ~= stem then
        wrong(path, "%s has the same number", numbers[number])
      end
      numbers[number] = stem
      if not found[stem] then
        found[stem] = {}
        names[#names + 1] = stem
      end
      found[stem][dialect] = path
    end
  end
  table.sort(names)
  return found, names
end


local function read(source, name, paths)
  local path = paths[sql.name] or paths.any
  if not path then
    wrong(("%s/%s"):format(source.folder, name), "there is no file for %s", sql.name)
  end
  local text = file.source(path)
  if not text then wrong(path, "the file can't be read (1 MiB at most)") end
  return { source = source.name, name = name, path = path, text = text,
    digest = crypto.sha256(text, "hex") }
end


---@return web.Migration[]
local function plan()
  local list = {}
  for _, source in ipairs(sources()) do
    local found, names = find(source)
    for _, name in ipairs(names) do list[#list + 1] = read(source, name, found[name]) end
  end
  return list
end

-- Records -------------------------------------------------------------------------------------

local function check(value, message, code)
  if value == nil then error({ message = message, code = code }, 0) end
  return value
end


local function key(source, name)
  return source .. "/" .. name
end


-- The records by key; empty before the first migration.
local function records(query)
  local rows, message, code =
    query("select source, name, digest, applied_at from " .. TABLE .. " order by source, name")
  if not rows and code == "syntax" then return {}, {} end -- no such table yet
  local by_key = {}
  for _, row in ipairs(check(rows, message, code)) do by_key[key(row.source, row.name)] = row end
  return by_key, rows
end


local function folder_of(source)
  for _, known in ipairs(sources()) do
    if known.name == source then return known.folder end
  end
end


-- What was applied must be there, and be the same.
local function compare(list, by_key, rows)
  local files = {}
  for _, m in ipairs(list) do
    files[key(m.source, m.name)] = true
    local record = by_key[key(m.source, m.name)]
    if record and record.digest ~= m.digest then
      wrong(m.path, "it was changed after it was applied (%s); put the old text back, and make a "
        .. "new migration of the change", record.applied_at)
    end
  end
  for _, row in ipairs(rows) do
    local folder = folder_of(row.source)
    if folder and not files[key(row.source, row.name)] then
      wrong(("%s/%s.sql"):format(folder, row.name),
        "it was applied (%s) and is missing; put it back", row.applied_at)
    end
  end
end

-- Applying ------------------------------------------------------------------------------------

local function lock(tx)
  if sql.name ~= "postgres" then return end -- a writer is alone anyway
  check(tx.query("select pg_advisory_xact_lock($1)", { LOCK }, { timeout = LIMIT }))
end


local function alone(fn)
  for _ = 1, BUSY_ROUNDS do
    local result, message, code = sql.transaction(function(tx)
      lock(tx)
      return fn(tx)
    end, { timeout = LIMIT })
    if code ~= "busy" then return check(result, message, code) end
    time.sleep(BUSY_PAUSE)
  end
  error({ message = "another program holds the database", code = "busy" }, 0)
end


local function make_table()
  alone(function(tx)
    return tx.query("create table if not exists " .. TABLE .. " (source text not null, "
      .. "name text not null, digest text not null, "
      .. "applied_at timestamp not null default current_timestamp, primary key (source, name))")
  end)
end


local function line_of(text, from)
  return select(2, text:sub(1, from - 1):gsub("\n", "")) + 1
end


-- Where a statement begins in its text, after the comments before it.
local function begins(statement)
  local at = #statement:match "^%s*" + 1
  while true do
    local stop = select(2, statement:find("^%-%-[^\n]*%s*", at))
      or select(2, statement:find("^/%*.-%*/%s*", at))
    if not stop then return at end
    at = stop + 1
  end
end


local function run_statements(tx, m)
  local at = 1
  local statements = sql.split(m.text)
  if #statements == 0 then wrong(m.path, "there is no statement in it") end
  for _, statement in ipairs(statements) do
    at = m.text:find(statement, at, true) or at
    local rows, message, code = tx.query(statement, nil, { timeout = LIMIT })
    if not rows then
      wrong(("%s:%d"):format(m.path, line_of(m.text, at + begins(statement) - 1)),
        "%s (%s); nothing of this file was kept", message, code)
    end
    at = at + #statement
  end
end


-- True when this call did it, false when another node was faster.
local function apply(m)
  return alone(function(tx)
    local query = "select digest from " .. TABLE .. " where source = $1 and name = $2"
    local rows = check(tx.query(query, { m.source, m.name }))
    if rows[1] then return false end
    run_statements(tx, m)
    check(tx.query("insert into " .. TABLE .. " (source, name, digest) values ($1, $2, $3)",
      { m.source, m.name, m.digest }))
    return true
  end)
end


local function run(told)
  local list, applied = plan(), {}
  if #list == 0 then return applied end
  local by_key, rows = records(sql.query)
  compare(list, by_key, rows)
  local ready = next(by_key) ~= nil
  for _, m in ipairs(list) do
    if not by_key[key(m.source, m.name)] then
      if not ready then make_table() end
      ready = true
      if apply(m) then
        applied[#applied + 1] = m
        told(m)
      end
    end
  end
  return applied
end


local function status()
  local list = plan()
  local by_key, rows = records(sql.query)
  local result, files = {}, {}
  for _, m in ipairs(list) do
    local record = by_key[key(m.source, m.name)]
    files[key(m.source, m.name)] = true
    result[#result + 1] = {
      source = m.source, name = m.name, applied_at = record and record.applied_at,
      state = not record and "pending" or record.digest == m.digest and "applied" or "changed",
    }
  end
  for _, row in ipairs(rows) do
    if not files[key(row.source, row.name)] then
      result[#result + 1] = { source = row.source, name = row.name, applied_at = row.applied_at,
        state = folder_of(row.source) and "missing" or "not in use" }
    end
  end
  return result
end


local function protected(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then return result end
  if type(result) ~= "table" then error(result, 0) end
  return nil, result.message, result.code
end


--- Are the files' names and numbers right? Asks no database.
---@return web.Migration[]|nil
---@return string|nil message it begins with the file
function migrations.files()
  return protected(plan)
end


local function note(m)
  log.info("a migration was applied", { source = m.source, name = m.name })
end


--- Applies what is pending.
---@param told? fun(m: web.Migration) hears of each as soon as it is applied; the log when absent
---@return web.Migration[]|nil applied
---@return string|nil message
---@return string|nil code "migration": a file is wrong, changed or missing; or one of host.sql's
function migrations.run(told)
  return protected(run, told or note)
end


--- Each migration with its state: "applied", "pending", "changed", "missing", "not in use" (of a
--- plugin that is not enabled).
---@return { source: string, name: string, state: string, applied_at: string? }[]|nil
---@return string|nil message
---@return string|nil code
function migrations.status()
  return protected(status)
end


--- Of such a list those that are pending, changed or missing.
---@param list { source: string, name: string, state: string, applied_at: string? }[]
---@return { source: string, name: string, state: string, applied_at: string? }[]
function migrations.unsettled(list)
  local found = {}
  for _, m in ipairs(list) do
    if m.state ~= "applied" and m.state ~= "not in use" then found[#found + 1] = m end
  end
  return found
end


--- Before the server accepts, and in development before new scripts serve. Raises what must stop
--- that; a database that is away does not.
function migrations.prepare()
  local applied, message, code = migrations.run()
  migrations.pending = false
  if applied then return end
  if code ~= "unavailable" then error(message, 0) end
  migrations.pending = true
  log.warn("the database is away; migrations are applied when it is back", { error = message })
end


--- After a reload that applies none: says which ones wait.
function migrations.remind()
  local list, message, code = migrations.status()
  if not list then
    if code ~= "unavailable" then log.warn("the migrations are wrong", { error = message }) end
    return
  end
  for _, m in ipairs(migrations.unsettled(list)) do
    log.warn(m.state == "pending"
      and "a migration waits: `lunacast migrate` applies it, and so does the next start"
      or "a migration is not as it was applied; the next start would end here",
      { source = m.source, name = m.name, state = m.state })
  end
end

return migrations
