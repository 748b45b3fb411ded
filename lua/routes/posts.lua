-- Posts over HTTP; all of it needs a token.
local etag = require "web.etag"
local json = require "host.json"
local posts = require "posts.posts"
local revocations = require "auth.revocations"
local users = require "auth.users"
local web = require "web"

local GUARDED, CACHED = { "bearer" }, { "bearer", "cached" }
local TAGS = { "posts" }
local PAGE_SECONDS = 300

local ID = { fields = { id = { type = "integer", min = 1 } } }
local WRITE = { fields = {
  title = { type = "string", min = 1, max = 200 },
  body = { type = "string", min = 1, bytes = 64 * 1024 },
} }
local LIST = { fields = {
  limit = { type = "integer", min = 1, max = 100, default = 20 },
  cursor = { type = "integer", min = 1, optional = true, about = "`next` of the page before" },
  author = { type = "string", min = 1, max = 100, optional = true },
} }
local POST = { fields = {
  id = { type = "integer" }, title = { type = "string" }, body = { type = "string" },
  author = { type = "string" },
  created_at = { type = "string", format = "date-time" },
  updated_at = { type = "string", format = "date-time" },
} }
local PAGE = { fields = {
  items = { items = POST },
  next = { type = "integer", nullable = true },
} }
local FAILURES = {
  [403] = "only its author may change a post", [404] = "there is no such post",
  [409] = "it is changed by too many at once",
  [412] = "it has changed since the version of If-Match",
}


local function with_failures(answers)
  for status, what in pairs(FAILURES) do answers[status] = what end
  return answers
end


local function answer(status, post)
  return web.with(web.json(status, posts.shown(post)),
    { ETag = posts.tag(post), ["Cache-Control"] = "private, no-cache" })
end


local function list(req)
  local query = req.valid.query
  local page, next_id = posts.page(query.limit, query.cursor, query.author)
  local items = web.array()
  for i, post in ipairs(page) do items[i] = posts.shown(post) end
  return web.with(web.json { items = items, next = next_id or json.null },
    { ["Cache-Control"] = "private, no-cache" })
end


local function create(req)
  local body, claims = req.valid.body, req.claims
  local user = claims.uid and { id = claims.uid, username = claims.sub } or users.of(claims.sub)
  local post = posts.create(user, body.title, body.body)
  local res = answer(201, post)
  res.headers.Location = "/posts/" .. post.id
  return res
end


local function read(req)
  return answer(200, posts.get(req.valid.params.id))
end


local function match_of(req)
  return function(tag) etag.require(req:header "if-match", tag) end
end


local function replace(req)
  local body = req.valid.body
  return answer(200, posts.replace(req.valid.params.id, req.claims.sub, body.title, body.body,
    match_of(req)))
end


local function delete(req)
  posts.delete(req.valid.params.id, req.claims.sub, match_of(req))
  return web.empty()
end


-- {"event":"created"|"changed"|"deleted","post":{...}} as it happens, with the id to go on from.
local function stream(req)
  return web.sse(posts.TOPIC, { mode = "log", identity = revocations.identity(req.claims),
    since = req:header "last-event-id" or req.query.lastEventId })
end

return {
  { path = "/posts/stream", middleware = GUARDED, GET = stream },
  {
    path = "/posts",
    middleware = CACHED,
    cache = posts.GROUP,
    cache_seconds = PAGE_SECONDS,
    describe = {
      GET = { summary = "Posts, the newest first", query = LIST, answers = { [200] = PAGE },
        tags = TAGS },
      POST = { summary = "Write a post", body = WRITE, answers = { [201] = POST }, tags = TAGS },
    },
    GET = list, POST = create,
  },
  {
    path = "/posts/{id}",
    middleware = CACHED,
    cache = posts.GROUP,
    describe = {
      GET = { summary = "One post", params = ID, tags = TAGS,
        answers = { [200] = POST, [304] = "not changed", [404] = FAILURES[404] } },
      PUT = { summary = "Replace title and body", params = ID, body = WRITE, tags = TAGS,
        answers = with_failures { [200] = POST } },
      DELETE = { summary = "Delete it", params = ID, tags = TAGS,
        answers = with_failures { [204] = "done" } },
    },
    GET = read, PUT = replace, DELETE = delete,
  },
}
