-- A session as it lies in the store: one line of JSON (template, arguments, expiry, version), then
-- the picture itself, so that a viewer on any node gets it without rendering.
local json = require "host.json"

local record = {}

---@class pictures.Record
---@field template string
---@field args table
---@field expire string|nil as the client gave it; nil: for ever
---@field expires_at number|nil unix seconds
---@field created_at number unix seconds
---@field version integer raised by each change


---@param rec pictures.Record
---@param svg string
---@return string
function record.encode(rec, svg)
  return json.encode(rec) .. "\n" .. svg
end


---@param value string
---@return pictures.Record
---@return string svg
function record.decode(value)
  local line = value:find("\n", 1, true)
  local rec = line and json.decode(value:sub(1, line - 1))
  if not rec then error("a session in the store is damaged: " .. value:sub(1, 60)) end
  return rec, value:sub(line + 1)
end

return record
