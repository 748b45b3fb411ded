-- Posts: texts with an owner, in the relational database. Lists are pages by key (the id, which
-- grows with time), so that a page costs the same at the beginning and after a million, and nobody
-- sees a post twice because another was added meanwhile.
--
-- A change names the version it was made from (If-Match) or takes whatever is there; either way the
-- statement says which version it replaces, so that two changes at once lose nothing unseen: who
-- was slower looks at the newer version, and is refused where that is not the one it named.
-- After a change the caches are forgotten on all nodes, then the streams are told.
local cache = require "web.cache"
local errors = require "web.errors"
local hub = require "host.hub"
local json = require "host.json"
local log = require "host.log"
local sql = require "host.sql"
local time = require "host.time"

local posts = {}

posts.TOPIC = "posts:events"
posts.GROUP = "posts" -- of web.cache

local TRIES <const> = 10 -- of a change, where others are faster

local SELECT = [[
select p.id, p.title, p.body, u.username as author, p.user_id, p.version, p.created_at, p.updated_at
from lunacast_posts p join lunacast_users u on u.id = p.user_id ]]

---@class posts.Post
---@field id integer
---@field title string
---@field body string
---@field author string
---@field user_id integer
---@field version integer
---@field created_at string RFC 3339
---@field updated_at string


local function query(text, params)
  local rows, message, code = sql.query(text, params)
  if not rows then errors.throw_world(message, code, "the posts can't be reached now") end
  return rows
end


local function no_such_post()
  errors.throw(404, "not_found", "there is no such post")
end


--- A post as it is shown.
---@param post posts.Post
---@return table
function posts.shown(post)
  return {
    id = post.id, title = post.title, body = post.body, author = post.author,
    created_at = post.created_at, updated_at = post.updated_at,
  }
end


---@param post posts.Post
---@return string
function posts.tag(post)
  return ('"%d-%d"'):format(post.id, post.version)
end


-- What is durable is told; a node that misses it shows an old page for five minutes at most.
local function changed(event, post)
  local forgotten, message, code = cache.forget(posts.GROUP)
  if not forgotten then
    log.warn("caches of posts could not be forgotten", { error = message, code = code })
  end
  hub.publish(posts.TOPIC, json.encode {
    event = event, post = event == "deleted" and { id = post.id } or posts.shown(post),
  }, { mode = "log" })
end


--- A page, the newest first: 503.
---@param limit integer
---@param cursor integer|nil the last id of the page before
---@param author string|nil
---@return posts.Post[] page
---@return integer|nil next
function posts.page(limit, cursor, author)
  local where, params = {}, { limit + 1 }
  local function also(condition, value)
    params[#params + 1] = value
    where[#where + 1] = condition .. #params
  end
  if cursor then also("p.id < $", cursor) end
  if author then also("u.username = $", author) end
  local filter = #where > 0 and "where " .. table.concat(where, " and ") .. " " or ""
  local rows = query(SELECT .. filter .. "order by p.id desc limit $1", params)
  local next_id
  if rows.n > limit then
    rows[limit + 1] = nil
    next_id = rows[limit].id
  end
  return rows, next_id
end


--- 404, 503.
---@param id integer
---@return posts.Post
function posts.get(id)
  local post = query(SELECT .. "where p.id = $1", { id })[1]
  if not post then no_such_post() end
  return post
end


--- 503.
---@param user auth.User
---@param title string
---@param body string
---@return posts.Post
function posts.create(user, title, body)
  local now = time.iso8601()
  local post = query([[insert into lunacast_posts (user_id, title, body, created_at, updated_at)
    values ($1, $2, $3, $4, $4)
    returning id, title, body, user_id, version, created_at, updated_at]],
    { user.id, title, body, now })[1]
  post.author = user.username
  changed("created", post)
  return post
end


-- The post, if this user may change it as it is.
local function owned(id, user, require_match)
  local post = posts.get(id)
  if post.author ~= user then
    errors.throw(403, "forbidden", "only its author may change a post")
  end
  require_match(posts.tag(post))
  return post
end


-- write(post) returns whether the post was still as it is there. 403, 404, 409, 412.
local function change(id, user, require_match, write)
  for _ = 1, TRIES do
    local post = owned(id, user, require_match)
    if write(post) then return post end
  end
  errors.throw(409, "conflict", "the post is changed by too many at once; try again")
end


--- 403, 404, 409, 412, 503.
---@param id integer
---@param user string
---@param title string
---@param body string
---@param require_match fun(tag: string) ends the request when the client has another version
---@return posts.Post
function posts.replace(id, user, title, body, require_match)
  local post = change(id, user, require_match, function(old)
    local row = query([[update lunacast_posts set title = $3, body = $4, updated_at = $5,
      version = version + 1 where id = $1 and version = $2 returning version, updated_at]],
      { id, old.version, title, body, time.iso8601() })[1]
    if not row then return false end
    old.title, old.body, old.version, old.updated_at = title, body, row.version, row.updated_at
    return true
  end)
  changed("changed", post)
  return post
end


--- 403, 404, 409, 412, 503.
---@param id integer
---@param user string
---@param require_match fun(tag: string)
function posts.delete(id, user, require_match)
  local post = change(id, user, require_match, function(old)
    return query("delete from lunacast_posts where id = $1 and version = $2",
      { id, old.version }).affected > 0
  end)
  changed("deleted", post)
end

return posts
