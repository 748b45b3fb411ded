-- Errors that are answers. `throw` raises one from any depth below a handler; the one pcall of the
-- request path (in C, around dispatch) brings it back to `boot.failed`, which sends it. Everything
-- else that is raised is a bug: it becomes a 500 that says nothing but its request id.
local json = require "host.json"

local errors = {}

---@class web.Error
---@field status integer
---@field code string
---@field message string
---@field headers? table<string, string>
---@field fields? table<string, any> more members of the answer's body
local Error = {}
Error.__index = Error
Error.__name = "web.Error"
Error.__tostring = function(err)
  return ("%d %s: %s"):format(err.status, err.code, err.message)
end

-- What the outside world's failures mean for the client, by the code that bindings return.
local WORLD = {
  unavailable = { 503, "unavailable", retry = "1" },
  busy = { 503, "busy", retry = "1" },
  memory = { 503, "busy", retry = "1" },
  timeout = { 504, "timeout" },
  too_large = { 413, "too_large" },
  too_slow = { 408, "too_slow" },
  aborted = { 400, "aborted" },
}


--- Is it an error made by throw?
---@return boolean
function errors.is(value)
  return getmetatable(value) == Error
end


--- Makes an error value without raising it.
---@param status integer
---@param code string a stable word for programs
---@param message string what was wrong, where, and what to do
---@param headers? table<string, string>
---@param fields? table<string, any>
---@return web.Error
function errors.new(status, code, message, headers, fields)
  return setmetatable({
    status = status, code = code, message = message, headers = headers, fields = fields,
  }, Error)
end


--- Ends the request with this answer.
---@param status integer
---@param code string
---@param message string
---@param headers? table<string, string>
---@param fields? table<string, any> more members of the answer's body, such as line and column
function errors.throw(status, code, message, headers, fields)
  error(errors.new(status, code, message, headers, fields), 0)
end


--- Ends the request because the world failed: pass on what a binding returned after nil.
---@param message string
---@param code string
---@param what? string what was being done, for people
function errors.throw_world(message, code, what)
  local known = WORLD[code]
  if not known then error(("%s: %s (%s)"):format(what or "failed", message, code), 2) end
  local headers = known.retry and { ["Retry-After"] = known.retry } or nil
  errors.throw(known[1], known[2], what and what .. ": " .. message or message, headers)
end


--- The body of an error answer; error and code come first, for people.
---@param message string
---@param code string
---@param fields? table<string, any>
---@return string
function errors.body(message, code, fields)
  local tail = fields and next(fields) ~= nil and "," .. json.encode(fields):sub(2) or "}"
  return '{"error":' .. json.encode(message) .. ',"code":' .. json.encode(code) .. tail
end


--- The answer for an error value.
---@param err web.Error
---@return web.Response
function errors.response(err)
  return {
    status = err.status,
    type = "application/json",
    headers = err.headers,
    body = errors.body(err.message, err.code, err.fields),
  }
end

return errors
