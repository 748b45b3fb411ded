-- Names and their passwords, of all kinds of users: who claims a name by its first use (`login`)
-- and who registers (`claim`, then `verify`) are the same. Two who claim one name at once: one
-- wins, the other is checked against the winner. Passwords are hashed by scrypt on the thread pool;
-- the store never sees one. A name that nobody has costs as much time as a wrong password.
local config = require "host.config"
local crypto = require "host.crypto"
local errors = require "web.errors"
local log = require "host.log"
local store = require "host.store"

local accounts = {}

local PASSWORD_MAX = 1024 -- bytes; longer ones would make hashing a way to keep the server busy


-- Nobody's hash: it has the cost of a real one and no password.
local NOBODY = ("$scrypt$ln=%d,r=%d,p=%d$%s$%s"):format(config.get "password.ln",
  config.get "password.r", config.get "password.p", ("A"):rep(22), ("A"):rep(43))


local function key_of(user_id)
  return "user:" .. user_id .. ":password"
end


local function check_password(password)
  local message
  if password == "" then
    message = '"password" is empty'
  elseif #password > PASSWORD_MAX then
    message = ('"password" has %d bytes; at most %d are possible'):format(#password, PASSWORD_MAX)
  elseif password:find("\0", 1, true) then
    message = '"password" has a NUL character'
  end
  if message then errors.throw(400, "invalid", message, nil, { field = "password" }) end
end


local function read(key)
  local hash, message, code = store.get(key)
  if not hash and code then errors.throw_world(message, code, "accounts can't be read now") end
  return hash
end


-- False: somebody has the name already.
local function claim(key, password)
  local hash, message, code = crypto.password_hash(password)
  if not hash then errors.throw_world(message, code, "the password can't be hashed now") end
  local added
  added, message, code = store.add(key, hash)
  if added then return true end
  if code ~= "exists" then errors.throw_world(message, code, "the account can't be made now") end
  return false
end


-- The settings ask for another cost than when the password was set. It may fail: there is a next
-- login.
local function rehash(key, old, password)
  local hash, version = store.get(key)
  local new = hash == old and crypto.password_hash(password)
  if new then store.cas(key, new, version) end
end


local function matches(key, password, hash)
  local right, message, code = crypto.password_verify(password, hash)
  if right == nil then errors.throw_world(message, code, "the password can't be checked now") end
  if right and crypto.needs_rehash(hash) then rehash(key, hash, password) end
  return right
end


--- Is it this user's password? Claims a name that is new. 400, 503.
---@param user_id string a valid id
---@param password string
---@return boolean
function accounts.login(user_id, password)
  check_password(password)
  local key = key_of(user_id)
  local hash = read(key)
  if not hash then
    if claim(key, password) then return true end
    hash = read(key)
  end
  return matches(key, password, hash or NOBODY)
end


--- Is it this user's password? A name that nobody has costs the same time. 400, 503.
---@param user_id string a valid id
---@param password string
---@return boolean
function accounts.verify(user_id, password)
  check_password(password)
  local key = key_of(user_id)
  return matches(key, password, read(key) or NOBODY)
end


--- Takes a name that nobody has. 400, 503.
---@param user_id string a valid id
---@param password string
---@return boolean claimed false: somebody has it
function accounts.claim(user_id, password)
  check_password(password)
  return claim(key_of(user_id), password)
end


--- Gives a name back that was just claimed, and that nobody has been told to have.
---@param user_id string
function accounts.release(user_id)
  local _, message, code = store.delete(key_of(user_id))
  if not code then return end
  log.warn("a name stays claimed", { user = user_id, error = message, code = code })
end


--- Has somebody the name? 503.
---@param user_id string
---@return boolean
function accounts.taken(user_id)
  return read(key_of(user_id)) ~= nil
end

return accounts
