-- When the database was away at the start, its migrations are applied as soon as it is back.
local log = require "host.log"
local migrations = require "web.migrations"
local time = require "host.time"

local PAUSE = 1


return function()
  local said
  while migrations.pending do
    time.sleep(PAUSE)
    local applied, message, code = migrations.run()
    if applied then
      migrations.pending = false
    elseif code ~= "unavailable" and message ~= said then
      log.error("the migrations can't be applied", { error = message })
      said = message
    end
  end
end
