-- The databases that specs of host.sql run on: for each driver a function that makes an empty one and
-- returns the environment that points a server to it.
local postgres = require "spec.support.postgres"
local server = require "spec.support.server"

local databases = { drivers = {} }


function databases.drivers.sqlite()
  return { LUNACAST_DATA = server.folder(), REDIS_URL = "", DATABASE_URL = false }
end


function databases.drivers.postgres()
  return {
    LUNACAST_DATA = server.folder(), REDIS_URL = "", DATABASE_URL = (postgres.shared():database()),
  }
end

return databases
