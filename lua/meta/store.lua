---@meta host.store

---The key-value store: the embedded one (memory, made durable by SQLite) or Redis, by configuration.
---Keys have 1 to 1,024 bytes, values up to 8 MiB of any bytes. Every call waits without blocking
---the worker. A write that has returned survives kill -9.
---
---A failure of the world returns nil, a message for people, and a code:
---"exists", "conflict", "absent", "type", "too_large", "unavailable".
---@class host.store
---@field name "embedded"|"redis"|"none" the driver
local store = {}

---@alias store.code "exists"|"conflict"|"absent"|"type"|"too_large"|"unavailable"

---@class store.options
---@field ttl? number seconds until the key expires, fractions allowed; 0: never
---@field channel? string of add, cas and delete, with Redis: `message` is published there in the same
--- step as the write, and only with it; both come from hub.compose
---@field message? string

---An absent key is no failure: nil, nil.
---@param key string
---@return string? value
---@return string? version or message; pass the version to cas
---@return store.code? code
function store.get(key) end

---Sets the key, whatever it was. Without opts.ttl it never expires.
---@param key string
---@param value string
---@param opts? store.options
---@return string? version
---@return string? message
---@return store.code? code
function store.set(key, value, opts) end

---Sets the key if it is absent; else the code is "exists".
---@param key string
---@param value string
---@param opts? store.options
---@return string? version
---@return string? message
---@return store.code? code
function store.add(key, value, opts) end

---Sets the key if its version is still `version`; else the code is "conflict", or "absent".
---Without opts.ttl the key keeps the life it has.
---@param key string
---@param value string
---@param version string as get, set, add or cas returned it
---@param opts? store.options
---@return string? version the new one
---@return string? message
---@return store.code? code
function store.cas(key, value, version, opts) end

---@param key string
---@param opts? {version: string?} deletes only this version; else the code is "conflict"
---@return boolean? deleted false: there was no such key
---@return string? message
---@return store.code? code
function store.delete(key, opts) end

---Adds to the decimal integer under the key; an absent key counts as 0.
---@param key string
---@param by? integer 1 when absent
---@param opts? store.options ttl applies when the key is made by this call
---@return integer? value the new one
---@return string? message
---@return store.code? code "type": not an integer, or it would overflow
function store.incr(key, by, opts) end

---@param key string
---@return number? seconds left; math.huge: it never expires; nil alone: there is no such key
---@return string? message
---@return store.code? code
function store.ttl(key) end

---Keys that begin with the prefix, in pages; a page may be empty though more follow. A key that is
---there all the while is listed at least once. Sorted with the embedded driver only.
---@param prefix string may be ""
---@param opts? {limit: integer?, cursor: string?} limit 1 to 1000, 100 when absent
---@return string[]? keys
---@return string? cursor for the next page; nil: this was the last (or message)
---@return store.code? code
function store.list(prefix, opts) end

---Can the store write now? Answers within two seconds.
---@return true? ok
---@return string? message
---@return store.code? code
function store.ping() end

return store
