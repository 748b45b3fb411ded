---@meta host.zone

--- The system's time zone database, undecoded; `web.template.zone` reads it.
local zone = {}

--- A zone's TZif file (RFC 8536). Does not wait.
---@param name? string "Europe/Oslo"; absent: the system's own zone
---@return string|nil data
---@return string|nil message
---@return string|nil code "absent"
function zone.read(name) end

return zone
