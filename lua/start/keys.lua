-- Makes the signing key at start, keeps hearing of rotations and rotates when it is time.
local keys = require "auth.keys"
local log = require "host.log"
local time = require "host.time"

local ROUND = 20 -- seconds; less than a forgotten watch lives
local PAUSE = 1


return function()
  local watch
  while true do
    local ok, err = pcall(function()
      keys.signing()
      keys.rotate_if_due()
      watch = keys.listen(watch)
    end)
    if not ok then
      log.warn("the signing keys are not ready; trying again", { error = tostring(err) })
    end
    time.sleep(ok and watch and ROUND or PAUSE)
  end
end
