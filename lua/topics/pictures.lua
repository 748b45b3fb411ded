-- Where the newest picture of a session is read from, for streams that begin and for links that
-- come back.
local sessions = require "pictures.sessions"
local errors = require "web.errors"


local function read(topic)
  local ok, rec, svg = pcall(sessions.find, topic)
  if not ok and errors.is(rec) then return nil, rec.message, rec.code end
  if not ok then error(rec, 0) end
  if not rec then return nil end
  return svg, rec.version, sessions.seconds_left(rec)
end

return { prefixes = { "session:", "user:" }, read = read, renew = sessions.renew }
