---@meta host.redis

---Any command of Redis, when `redis.url` is set. Waits without blocking the worker. Keys are used as
---they are given: `redis.prefix` is not put before them.
---
---Replies: text and status as strings, numbers as integers, arrays as tables, and what is absent as
---`redis.null` (the same value as json.null), so that an array has no holes.
---@class host.redis
---@field configured boolean whether redis.url is set
---@field null lightuserdata
local redis = {}

---    local n = assert(redis.call("INCR", "visits"))
---    local both = assert(redis.call("MGET", "a", "b"))
---
---Refused (they raise): SUBSCRIBE and the like (host.hub does that), MULTI and WATCH (use EVAL),
---commands that block, and commands that change the link (SELECT, AUTH, CLIENT ...).
---@param command string
---@param ... string|number
---@return any reply nil when it failed
---@return string? message
---@return string? code "unavailable", or the first word of Redis' error in lower case ("wrongtype")
function redis.call(command, ...) end

return redis
