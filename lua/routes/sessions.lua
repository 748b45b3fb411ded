-- Sessions by HTTP: a user's own with a token, public ones without a user and without a token.
local check = require "web.check"
local etag = require "web.etag"
local sessions = require "pictures.sessions"
local web = require "web"

local DRAFT = { session_id = "string", template = "string", args = "object?", expire = "string?" }
local CHANGE = { args = "object" }
local OWNER = { "bearer", "owner" }
local PAGE, PAGE_MAX = 1000, 1000
local LISTED = { ["Cache-Control"] = "no-store" }


local function draft_of(req)
  local draft = check.fields(req.json, DRAFT)
  if draft.expire == "never" then
    web.throw(400, "invalid", '"expire" must be a time such as "90s", "15m", "2h" or "1d"', nil,
      { field = "expire" })
  end
  return draft
end


local function create(req)
  local draft = draft_of(req)
  local rec = sessions.create(req.params.user_id, draft)
  local res = web.json(201, { session_id = draft.session_id })
  res.headers = {
    ETag = sessions.tag(rec),
    Location = req.path .. "/" .. draft.session_id,
  }
  return res
end


local function list(req)
  local limit = check.integer(req.query.limit, "limit", PAGE, 1, PAGE_MAX)
  local found, cursor = sessions.list(req.params.user_id, limit, req.query.cursor)
  local items = web.array {}
  for i, session_id in ipairs(found) do items[i] = { session_id = session_id } end
  return web.with(web.json { items = items, next = cursor }, LISTED)
end


local function read(req)
  local rec = sessions.get(req.params.user_id, req.params.session_id)
  local headers = { ETag = sessions.tag(rec), ["Cache-Control"] = "private, no-cache" }
  if etag.known(req:header "if-none-match", headers.ETag) then return web.empty(304, headers) end
  return web.with(web.json {
    session_id = req.params.session_id,
    template = rec.template,
    args = rec.args,
    expire = rec.expire,
    expires_at = rec.expires_at,
    created_at = rec.created_at,
    version = rec.version,
  }, headers)
end


-- A user's session is answered 204, a public one 200 with its name.
local function changed(req, rec)
  local headers = { ETag = sessions.tag(rec) }
  if req.params.user_id then return web.empty(204, headers) end
  return web.with(web.json { session_id = req.params.session_id }, headers)
end


local function change(how)
  return function(req)
    local args = check.fields(req.json, CHANGE).args
    local params = req.params
    return changed(req, how(params.user_id, params.session_id, args, req:header "if-match"))
  end
end


local function delete(req)
  sessions.delete(req.params.user_id, req.params.session_id, req:header "if-match")
  return web.empty()
end


local function collection(path, middleware)
  return { path = path, middleware = middleware, POST = create, GET = list }
end


local function alias(path, middleware)
  return { path = path, middleware = middleware, GET = list }
end


local function item(path, middleware)
  return {
    path = path,
    middleware = middleware,
    GET = read,
    PUT = change(sessions.replace),
    PATCH = change(sessions.merge),
    DELETE = delete,
  }
end

return {
  collection "/api/session",
  alias "/api/sessions",
  item "/api/session/{session_id}",
  collection("/api/user/{user_id}/session", OWNER),
  alias("/api/user/{user_id}/sessions", OWNER),
  item("/api/user/{user_id}/session/{session_id}", OWNER),
}
