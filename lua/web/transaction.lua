-- sql.transaction: runs a function inside a transaction, and decides what its end means.
--
--   begin -> fn(tx) -> returned      -> commit
--                   -> nil, message  -> rollback, and the same is returned
--                   -> raised        -> rollback, and the same is raised
--
-- A serialization failure or a deadlock (code "conflict") was nobody's fault and changed nothing:
-- the whole function runs again, a few times, after a pause that differs between rivals. A lost
-- connection is never tried again: nobody knows how far it came.
local time = require "host.time"

local ATTEMPTS = 5
local PAUSE = 0.005 -- seconds; doubles

local function conflicts(handle)
  return handle:failure() == "conflict"
end


local function returned_failure(results)
  return results.n >= 3 and results[2] == nil and results[3] ~= nil
end


-- Rolls back what came of the function; true: worth another attempt.
local function undo(handle)
  local again = conflicts(handle)
  handle:rollback()
  return again
end


-- "again", or "raise" and the error, or "done" and what the caller gets.
local function attempt(begin, fn, options)
  local handle <close>, message, code, details = begin(options)
  if not handle then return "done", nil, message, code, details end
  local tx = {
    query = function(text, params, opts) return handle:query(text, params, opts) end,
  }
  local results = table.pack(pcall(fn, tx))
  if not results[1] then
    return undo(handle) and "again" or "raise", results[2]
  end
  if returned_failure(results) then
    if results[4] == "aborted" then results[4] = handle:failure() or "aborted" end
    return undo(handle) and "again" or "done", table.unpack(results, 2, results.n)
  end
  local ok
  ok, message, code, details = handle:commit()
  if not ok then return code == "conflict" and "again" or "done", nil, message, code, details end
  if results.n == 1 then return "done", true end
  return "done", table.unpack(results, 2, results.n)
end


local function finish(outcome, ...)
  if outcome == "raise" then error((...), 0) end
  return ...
end


---@param begin function
return function(begin)
  return function(fn, options)
    if type(fn) ~= "function" then error("sql.transaction wants a function(tx)", 2) end
    local last
    for round = 1, ATTEMPTS do
      last = table.pack(attempt(begin, fn, options))
      if last[1] ~= "again" then return finish(table.unpack(last, 1, last.n)) end
      if round < ATTEMPTS then time.sleep(PAUSE * 2 ^ round * (0.5 + math.random())) end
    end
    return nil, ("the transaction met others %d times in a row: try again later"):format(ATTEMPTS),
      "conflict"
  end
end
