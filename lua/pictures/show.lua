-- How a person or a program sees a session: as a stream that repaints, as events, as one picture,
-- or as a page around the stream.
local admission = require "web.admission"
local bearer = require "auth.bearer"
local etag = require "web.etag"
local hub = require "host.hub"
local ids = require "pictures.ids"
local page = require "pictures.page"
local sessions = require "pictures.sessions"
local topics = require "web.topics"
local web = require "web"

local show = {}

-- Templates are strangers': a picture that is opened by itself may neither run nor load anything.
local PICTURE = {
  ["Content-Security-Policy"] =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
  ["X-Content-Type-Options"] = "nosniff",
  ["Cache-Control"] = "no-store",
}
local STREAM = {
  ["X-Accel-Buffering"] = "no", -- nginx and its like would hold pictures back
  Vary = "Accept, Sec-Fetch-Dest",
}
for name, value in pairs(PICTURE) do STREAM[name] = value end


-- A browser that shows an <img> of another origin holds an answer back until it has read 1,024
-- bytes of it (opaque response blocking: the type is guessed from them). Small pictures would stay
-- blank; so the stream begins with a preamble, which multipart readers skip.
local PREAMBLE = "\r\n" .. (" "):rep(1022) .. "\r\n"
-- Viewers that lost the server come back within two seconds, not all at once.
local RETRY_MIN, RETRY_SPREAD = 1000, 1000


-- Requests of an <img>; who tells no origin may be of another one.
local function needs_preamble(req)
  local accept, site = req:header "accept", req:header "sec-fetch-site"
  return accept ~= nil and accept:find "^image/" ~= nil
    and site ~= "same-origin" and site ~= "none"
end


local function no_such_session()
  web.throw(404, "not_found", "there is no such session; it may have expired",
    { ["Cache-Control"] = "no-store" })
end


local function key_of(req)
  local user_id, session_id = req.params.user_id, req.params.session_id
  if not ids.valid(session_id) or user_id and not ids.valid(user_id) then no_such_session() end
  return ids.key(user_id, session_id)
end


--- GET /stream/...: the stream; events where they are asked for; a page in a person's tab.
---@param req web.Request
---@return web.Response
function show.stream(req)
  local key = key_of(req)
  if req:in_tab() and req.query.raw ~= "1" then
    return page.viewer(req.path, req.params.session_id, sessions.find(key) ~= nil)
  end
  local identity, id = bearer.identity(req), hub.connection_id()
  local events = req:asks_for "text/event-stream"
  admission.connect(req, id, identity, events and "sse" or "mixed", key)
  local watch, message, code = topics.open(key)
  if not watch and code then web.throw_world(message, code, "the session can't be read now") end
  if not watch then no_such_session() end
  if events then
    local retry = RETRY_MIN + math.random(0, RETRY_SPREAD)
    local preamble = ("retry: %d\n"):format(retry)
    return web.sse(key,
      { headers = STREAM, watch = watch, preamble = preamble, identity = identity, id = id })
  end
  local preamble = needs_preamble(req) and PREAMBLE or nil
  return web.mixed(key,
    { headers = STREAM, watch = watch, preamble = preamble, identity = identity, id = id })
end


--- GET /svg/...: the newest picture once.
---@param req web.Request
---@return web.Response
function show.picture(req)
  local rec, svg = sessions.find(key_of(req))
  if not rec then no_such_session() end
  local headers = { ETag = sessions.tag(rec) }
  for name, value in pairs(PICTURE) do headers[name] = value end
  if etag.known(req:header "if-none-match", headers.ETag) then
    return { status = 304, headers = headers }
  end
  return { status = 200, type = "image/svg+xml", headers = headers, body = svg }
end

return show
