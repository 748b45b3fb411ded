-- A small application on a database, for specs of what goes wrong around one.
--   local app = notes.start(env, { ["sql.pool"] = 1 })
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local notes = {}

local MIGRATION = "create table notes (id integer primary key, body text not null);"

local ROUTES = [[
local log = require "host.log"
local sql = require "host.sql"
local time = require "host.time"
local web = require "web"
local STATUS = { unavailable = 503, timeout = 503, busy = 503, full = 507 }

local function answer(rows, message, code, details)
  if rows then return web.json(rows) end
  return web.json(STATUS[code] or 422,
    { code = code, message = message, unsure = details and details.unsure })
end

return {
  { path = "/alive", GET = function() return web.text "alive" end },
  { path = "/notes", GET = function() return answer(sql.query "select count(*) as n from notes") end },
  { path = "/note/{id}", POST = function(req)
    local body = req.query.size and ("x"):rep(tonumber(req.query.size)) or "x"
    return answer(sql.query("insert into notes (id, body) values ($1, $2)",
      { math.tointeger(req.params.id), body }))
  end },
  { path = "/slow", GET = function()
    return answer(sql.query("with recursive c(n) as (select 1 union all select n + 1 from c) "
      .. "select count(*) as n from c", nil, { timeout = 3 }))
  end },
  { path = "/hold/{id}", GET = function(req)
    return answer(sql.transaction(function(tx)
      assert(tx.query("insert into notes (id, body) values ($1, 'held')",
        { math.tointeger(req.params.id) }))
      log.info("it holds a transaction", { note = req.params.id })
      time.sleep(tonumber(req.query.seconds) or 5)
      return tx.query "select count(*) as n from notes"
    end))
  end },
  { path = "/stuck/{id}", POST = function(req)
    return answer(sql.transaction(function(tx)
      assert(tx.query("insert into notes (id, body) values ($1, 'stuck')",
        { math.tointeger(req.params.id) }))
      while true do end
    end))
  end },
}
]]


--- Starts a server with the application.
---@param env table<string, string|false> that names the database
---@param set? table<string, any> settings
---@param more? server.Options
function notes.start(env, set, more)
  local options = {
    files = { ["lua/routes/notes.lua"] = ROUTES, ["migrations/0001_notes.sql"] = MIGRATION },
    env = env, set = set, data = env.LUNACAST_DATA,
  }
  for key, value in pairs(more or {}) do options[key] = value end
  return server.start(options)
end


--- A transaction that is open for so many seconds, with a note that is not there yet.
function notes.hold(app, id, seconds)
  local client = app:connect()
  client:send(("GET /hold/%d?seconds=%d HTTP/1.1\r\nHost: x\r\n\r\n"):format(id, seconds))
  app:logged(('"note":"%d"'):format(id))
  return client
end


--- How many notes there are, as soon as the database answers.
function notes.count(app)
  return wait.till(function()
    local answer = app:get "/notes"
    return answer.status == 200 and answer:json()[1].n
  end, "the database to answer")
end

return notes
