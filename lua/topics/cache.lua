-- Groups of web.cache: after a lost link to the other nodes it is unknown what they have forgotten
-- meanwhile, so everything is.
local time = require "host.time"

return {
  prefixes = { "cache:" },
  read = function()
    return "", math.floor(time.now() * 1000000)
  end,
}
