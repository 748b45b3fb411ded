-- For specs of what stands on the store, on both of its drivers: each script runs in a process of
-- its own.
local process = require "spec.support.process"
local redis_server = require "spec.support.redis"
local server = require "spec.support.server"

local stores = {}

local redis


-- The Redis that the specs of this file have; started at first use.
function stores.redis()
  redis = redis or redis_server.start()
  return redis
end


-- The environment of a script whose store is empty, by driver.
stores.drivers = {
  embedded = function() return { LUNACAST_DATA = server.folder(), REDIS_URL = "" } end,
  redis = function()
    stores.redis():command "flushall"
    return { REDIS_URL = redis.url }
  end,
}


-- What each script has.
local PRELUDE = [[
local function same(expected, actual, ...)
  if expected ~= actual then
    error(("expected %s, got %s (%s)"):format(expected, actual, table.concat({ ... }, ", ")), 2)
  end
end
]]


-- Runs a script that must end well; what it printed.
function stores.run(environment, code)
  local folder = server.folder()
  server.write(folder, { ["spec.lua"] = PRELUDE .. code })
  local result = process.run(server.BINARY, { "lua", folder .. "/spec.lua" }, { env = environment })
  if result.code ~= 0 then error(result.err .. result.out, 2) end
  return result.out
end

return stores
