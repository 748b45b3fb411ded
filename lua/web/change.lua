-- A JSON value in the store that many may change at once: it is read, changed by a function, and
-- written where nobody else has written meanwhile; else once more with what is there then.
--   local change = require "web.change"
--   local state, message, code = change("visits", function(state)
--     state = state or { n = 0 }
--     state.n = state.n + 1
--     return state
--   end)
local json = require "host.json"
local store = require "host.store"
local time = require "host.time"

local SECONDS = 5 -- for one change, tries and pauses together
local PAUSE, LONGEST_PAUSE = 0.001, 0.05
local LOST_RACE = { conflict = true, exists = true, absent = true }


-- Writes the value over the version that was read (nil: over nothing).
local function write(key, value, version, options)
  local text = json.encode(value)
  if version then return store.cas(key, text, version, options) end
  return store.add(key, text, options)
end


-- One try: whether it is over, and the value as it is now, or nil, message, code.
local function try(key, fn, options)
  local text, version, code = store.get(key)
  if code then return true, nil, version, code end
  local old = text and json.decode(text)
  local new = fn(old)
  if new == nil then return true, text and json.decode(text) end
  local written, message
  written, message, code = write(key, new, version, options)
  if written then return true, new end
  return not LOST_RACE[code], nil, message, code
end


--- Changes the value of a key. Waits for the store, and a moment after each race that was lost.
---@param key string
---@param fn fun(value: any|nil): any|nil gets the value as it is (nil: there is none) and returns
--- the new one, or nil to leave it; it is called again after a lost race
---@param options? { ttl: number? } as of store.add and store.cas
---@return any|nil value as it is now; nil where there is none
---@return string|nil message
---@return string|nil code "busy": others were faster for five seconds; or one of host.store's
return function(key, fn, options)
  local deadline, pause = time.monotonic() + SECONDS, PAUSE
  repeat
    local over, value, message, code = try(key, fn, options)
    if over then return value, message, code end
    time.sleep(math.random() * pause)
    pause = math.min(pause * 2, LONGEST_PAUSE)
  until time.monotonic() > deadline
  return nil, ("%s is changed by too many at once"):format(key), "busy"
end
