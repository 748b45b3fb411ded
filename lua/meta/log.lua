---@meta host.log

--- Lines of the log: JSON on stderr, or text on a terminal. Fields are texts, whole numbers and
--- booleans, at most 16; others are turned into text. A field named token, password, secret, cookie
--- or authorization is masked.
local log = {}

---@param message string
---@param fields? table<string, any>
function log.debug(message, fields) end

---@param message string
---@param fields? table<string, any>
function log.info(message, fields) end

---@param message string
---@param fields? table<string, any>
function log.warn(message, fields) end

---@param message string
---@param fields? table<string, any>
function log.error(message, fields) end

return log
