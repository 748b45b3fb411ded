-- Reads the revoked tokens at start and after a lost link to other nodes, so that streams which are
-- open end too, though nobody shows a token.
local revocations = require "auth.revocations"

local PAUSE = 0.25 -- seconds; a look at a flag

return function()
  revocations.follow(PAUSE)
end
