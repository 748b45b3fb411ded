---@meta host.config

--- The settings, read-only. `lunacast config` lists all with their values and origins.
---@class host.config
---@field app table the application's own keys (`app` in config.lua), plain data, read-only
local config = {}

--- A setting's value: times are seconds, sizes are bytes, lists are tables. An unknown name raises.
---@param name string for example "max_fps", "limits.body"
---@return string|number|boolean|string[]
function config.get(name) end

--- A section of config.lua that the framework or a plugin reads, as a table of the caller's own.
---@param name "app"|"plugins"|"topics"|"gateway" another name raises
---@return table|nil section nil: config.lua has none
function config.section(name) end

return config
