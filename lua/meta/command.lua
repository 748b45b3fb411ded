---@meta host.command

--- What a command of the command line needs of the process around it; there only.
---@class host.command
---@field folder string the application's folder
---@field data string its data folder
---@field version string of lunacast
local command = {}

--- Opens the store of the application, until the command ends. The embedded one can't be opened while
--- a server holds it.
---@return true|nil
---@return string|nil message
---@return "unavailable"|nil code
function command.open_store() end

--- Could a server start with these settings? Opens nothing.
---@return true|nil
---@return string|nil message
---@return "settings"|nil code
function command.check_settings() end

--- Loads the application as the server would, and lists what is in it.
---@return string|nil json
---@return string|nil message with file, line and traceback
---@return "refused"|"memory"|nil code
function command.application() end

return command
