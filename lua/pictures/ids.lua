-- The names of users and sessions, and the keys made of them. A name consists of letters, digits
-- and . _ ~ @ + - (1 to 100 of them), so that it needs no escaping in a path, holds no colon (which
-- separates the parts of a key) and a key is never longer than a topic may be. Names of dots only
-- are refused: a path does not keep them.
local ids = {}

local MAX = 100
ids.PATTERN = "(?!\\.+$)[A-Za-z0-9._~@+-]+" -- for web.schema
ids.RULE = "1 to 100 letters, digits and . _ ~ @ + - (not dots only)"


---@param id any
---@return boolean
function ids.valid(id)
  return type(id) == "string" and #id <= MAX and id:find "^[%w._~@+-]+$" ~= nil
    and not id:find "^%.+$"
end


--- The key of a session in the store, and its topic.
---@param user_id string|nil nil: a public session
---@param session_id string
---@return string
function ids.key(user_id, session_id)
  return ids.prefix(user_id) .. session_id
end


--- What the keys of a user's sessions begin with.
---@param user_id string|nil
---@return string
function ids.prefix(user_id)
  return user_id and "user:" .. user_id .. ":session:" or "session:"
end

return ids
