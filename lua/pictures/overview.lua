-- All sessions of all users, with what is known of each without rendering anything: for those who
-- run the server.
local errors = require "web.errors"
local hub = require "host.hub"
local ids = require "pictures.ids"
local json = require "host.json"
local store = require "host.store"

local overview = {}

local PAGE = 1000


local function owner_of(key)
  local user, session = key:match "^user:([^:]+):session:(.+)$"
  if user then return user, session end
  return nil, key:match "^session:(.+)$"
end


local function describe(key)
  local user, session = owner_of(key)
  local _, version = hub.latest(key)
  return { session_id = session, user = user or json.null, viewers = hub.count(key),
    version = version }
end


-- Keys of one prefix, into `found`; "user:" has other keys too.
local function collect(prefix, found, limit)
  local cursor
  repeat
    local keys, next_cursor, code = store.list(prefix, { limit = PAGE, cursor = cursor })
    if not keys then errors.throw_world(next_cursor, code, "the sessions can't be read now") end
    for _, key in ipairs(keys) do
      if #found < limit and select(2, owner_of(key)) then found[#found + 1] = describe(key) end
    end
    cursor = next_cursor
  until not cursor or #found >= limit
end


--- The most watched first.
---@param user string|nil nil: of all
---@param limit integer
---@return table[]
function overview.list(user, limit)
  local found = json.array {}
  if not user then collect(ids.prefix(nil), found, limit) end
  collect(user and ids.prefix(user) or "user:", found, limit)
  table.sort(found, function(a, b)
    if a.viewers ~= b.viewers then return a.viewers > b.viewers end
    return a.session_id < b.session_id
  end)
  return found
end

return overview
