-- The form of answers that clients of the approval flow expect:
--   {"status":"SUCCESS"|"ERROR","message","data","errorCode"?,"success","timestamp"}
local json = require "host.json"
local time = require "host.time"

local envelope = {}

local CODES = {
  missing_token = "E2000", invalid_token = "E2003", expired_token = "E2002", forbidden = "E2001",
  not_found = "E1004", internal = "E1000", invalid = "E1001", decided = "E1009",
  unavailable = "E1005",
}
local BY_STATUS = {
  [400] = "E1001", [401] = "E2000", [403] = "E2001", [404] = "E1004", [409] = "E1009",
  [429] = "E1006", [503] = "E1005",
}


local function answer(status, body, headers)
  body.timestamp = math.floor(time.now() * 1000)
  return { status = status, type = "application/json", headers = headers, body = json.encode(body) }
end


---@param status integer
---@param message string
---@param data any
---@return web.Response
function envelope.success(status, message, data)
  return answer(status, {
    status = "SUCCESS", success = true, message = message, data = data == nil and json.null or data,
  }, { ["Cache-Control"] = "no-store" })
end


--- A route's `errors`.
---@param err web.Error
---@return web.Response
function envelope.error(err)
  local fields = err.fields
  return answer(err.status, {
    status = "ERROR", success = false, message = err.message, code = err.code,
    errorCode = CODES[err.code] or BY_STATUS[err.status] or "E1000",
    data = fields and fields.data or fields or json.null,
  }, err.headers)
end

return envelope
