-- GET /migrations: which are not as the files want it, by the scripts that serve now.
local json = require "host.json"
local migrations = require "web.migrations"
local web = require "web"

return {
  path = "/migrations",
  GET = function()
    local list, message, code = migrations.status()
    if not list then web.throw_world(message, code, "the database can't be asked now") end
    return web.json { items = json.array(migrations.unsettled(list)) }
  end,
}
