-- A newer token for a stream that is open: for SSE and pictures, which have no way back. The stream
-- is named by its header Stream-Id; the token must be of the same user.
local bearer = require "auth.bearer"
local hub = require "host.hub"
local revocations = require "auth.revocations"
local web = require "web"

local BODY = { fields = { token = { type = "string", min = 1 } } }


local function refresh(req)
  local claims, message, code = bearer.claims(req.valid.body.token)
  if not claims then web.throw(401, code, "this token is not accepted: " .. message) end
  local count = hub.refresh(req.params.id, revocations.identity(claims))
  if count == 0 then
    web.throw(404, "not_found", "no open stream of this token's user has that id")
  end
  return web.empty()
end

return {
  path = "/sse/{id}/token",
  POST = refresh,
  describe = { POST = {
    summary = "Lets an open stream live as long as a newer token",
    body = BODY,
    answers = { [204] = "the stream has the new token's time", [404] = "no such stream" },
  } },
}
