-- Users in the relational database: what is known of a name besides its password, which
-- auth.accounts has in the store. A name that was claimed by its first use gets its row when a row
-- is first needed.
local accounts = require "auth.accounts"
local cache = require "web.cache"
local errors = require "web.errors"
local json = require "host.json"
local sql = require "host.sql"
local time = require "host.time"

local users = {}

local LIFE = 3600 -- seconds in the cache
local FIELDS = "id, username, email, created_at"

---@class auth.User
---@field id integer
---@field username string
---@field email? string
---@field created_at string RFC 3339


local function world(message, code)
  errors.throw_world(message, code, "the users can't be read now")
end


local function query(text, params)
  local rows, message, code, details = sql.query(text, params)
  if rows or code == "unique" then return rows, details end
  world(message, code)
end


local function find(username)
  local text = "select " .. FIELDS .. " from lunacast_users where username = $1"
  return query(text, { username })[1]
end


-- nil, "username" | "email": somebody else has it.
local function insert(username, email)
  local rows, details = query("insert into lunacast_users (username, email, email_key, created_at) "
    .. "values ($1, $2, $3, $4) returning " .. FIELDS,
    { username, email, email and email:lower(), time.iso8601() })
  if rows then return rows[1] end
  return nil, (details.constraint or details.columns[1] or ""):find "email" and "email"
    or "username"
end


-- The row of a name whose registration ended half way (the process died) becomes this one's.
local function adopt(username, email)
  local rows, details = query("update lunacast_users set email = $2, email_key = $3 "
    .. "where username = $1 returning " .. FIELDS, { username, email, email and email:lower() })
  if rows then return rows[1] end
  return nil, details and "email"
end


--- The user of a name that is known to exist; makes the row when there is none. 503.
---@param username string
---@return auth.User
function users.of(username)
  local text = cache.get("users:" .. username, LIFE, function()
    local user = find(username) or insert(username) or find(username)
    return json.encode(user)
  end)
  return json.decode(text)
end


--- Makes a user: 409 when the name or the e-mail address is taken, 503.
---@param username string
---@param password string
---@param email? string
---@return auth.User
function users.register(username, password, email)
  local function taken(what, value)
    errors.throw(409, what .. "_taken", ('the %s "%s" is taken'):format(
      what == "email" and "e-mail address" or "username", value), nil, { field = what })
  end
  if accounts.taken(username) then taken("username", username) end
  local user, reason = insert(username, email)
  if not user and reason == "username" then user, reason = adopt(username, email) end
  if not user then taken(reason or "username", reason == "email" and email or username) end
  if not accounts.claim(username, password) then taken("username", username) end
  cache.forget "users"
  return user
end

return users
