-- POST /clock {"advance": seconds}: time passes for the whole process, for specs (test.clock).
-- It passes in steps with turns of the loops in between, so that what becomes due at different
-- times happens in that order; a long time is one leap and then steps, as after a machine slept.
local check = require "web.check"
local config = require "host.config"
local control = require "host.control"
local time = require "host.time"
local web = require "web"

local STEP, STEPS = 1, 60
local TURN = 0.002


local function pass(seconds)
  control.advance(seconds)
  time.sleep(TURN)
end


return {
  path = "/clock",
  POST = function(req)
    local seconds = check.fields(req.json, { advance = "number" }).advance
    if not config.get "test.clock" then
      web.throw(409, "off", "the setting test.clock is off: the clock stays")
    end
    if seconds < 0 or seconds > 1e8 then
      web.throw(400, "invalid", '"advance" is seconds, from 0 to 100000000')
    end
    if seconds > STEP * STEPS then
      pass(seconds - STEPS)
      seconds = STEPS
    end
    while seconds > 0 do
      pass(math.min(seconds, STEP))
      seconds = seconds - STEP
    end
    return web.empty()
  end,
}
