-- What is left of a handler's stream that its client has lost: web.sse with `resume` names the path
-- in Content-Location and in the first event. Who knows the id may read it; nobody can guess it.
local sse = require "web.sse"

return {
  path = "/sse/{id}",
  GET = function(req)
    return sse.rest(req.params.id, sse.last_id(req))
  end,
}
