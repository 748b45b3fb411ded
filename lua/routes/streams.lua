-- Pictures for everyone who knows their name; no token is needed to look.
local show = require "pictures.show"

return {
  { path = "/stream/{session_id}", GET = show.stream },
  { path = "/stream/{user_id}/{session_id}", GET = show.stream },
  { path = "/svg/{session_id}", GET = show.picture },
  { path = "/svg/{user_id}/{session_id}", GET = show.picture },
}
