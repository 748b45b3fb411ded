-- Users in the relational database: what is known of a name besides its password, which
-- auth.accounts has in the store. A name that was claimed by its first use gets its row when a row
-- is first needed.
local accounts = require "auth.accounts"
local cache = require "web.cache"
local errors = require "web.errors"
local json = require "host.json"
local sql = require "host.sql"
local time = require "host.time"
local unicode = require "host.unicode"

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


-- What an e-mail address is compared by: whatever its case, in all scripts. By way of capitals,
-- since some letters share only these (a final sigma, a long s).
local function email_key(email)
  return email and unicode.nfc(unicode.lower(unicode.upper(unicode.nfc(email))))
end


local function is_known(email)
  return query("select 1 as known from lunacast_users where email_key = $1",
    { email_key(email) })[1] ~= nil
end


-- nil, "username" | "email": there is one already.
local function insert(username, email)
  local rows, details = query("insert into lunacast_users (username, email, email_key, created_at) "
    .. "values ($1, $2, $3, $4) returning " .. FIELDS,
    { username, email, email_key(email), time.iso8601() })
  if rows then return rows[1] end
  return nil, (details.constraint or details.columns[1] or ""):find "email" and "email"
    or "username"
end


-- The row of a name that had one before it had a password becomes its owner's; nil: somebody else
-- has the e-mail address.
local function adopt(username, email)
  local rows = query("update lunacast_users set email = $2, email_key = $3 "
    .. "where username = $1 returning " .. FIELDS, { username, email, email_key(email) })
  return rows and rows[1]
end


local function enter(username, email)
  local user, reason = insert(username, email)
  if reason == "username" then user = adopt(username, email) end
  return user
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


local function taken(what, name, value)
  errors.throw(409, what .. "_taken", ('the %s "%s" is taken'):format(name, value), nil,
    { field = what })
end


--- Makes a user: 409 when the name or the e-mail address is taken, 503. The name is claimed first:
--- of two who want it at once, only the one who has it writes its row.
---@param username string
---@param password string
---@param email? string
---@return auth.User
function users.register(username, password, email)
  if accounts.taken(username) then taken("username", "username", username) end
  if email and is_known(email) then taken("email", "e-mail address", email) end
  if not accounts.claim(username, password) then taken("username", "username", username) end
  local ok, user = pcall(enter, username, email)
  if not ok or not user then accounts.release(username) end
  if not ok then error(user, 0) end
  if not user then taken("email", "e-mail address", email) end
  cache.forget "users"
  return user
end

return users
