---@meta host.control

--- The server seen from inside: for the routes of the control socket (lua/control/) and the pages of
--- development.
---@class host.control
---@field version string of lunacast
local control = {}

--- Builds new scripts on all workers from the files as they are now; waits until they serve.
---@return integer|nil generation
---@return string|nil message with file, line and traceback
---@return "refused"|"stopping"|nil code refused: they are wrong, the old ones serve on
function control.reload() end

---@class control.State
---@field generation integer from 1, one more with each reload that went well
---@field since number Unix time since which it serves
---@field failed_since? number since when the files are wrong
---@field error? string why
---@field stopping boolean

---@return control.State
function control.state() end

---@class control.Worker
---@field lua_memory integer bytes
---@field tasks integer
---@field connections integer
---@field websockets integer
---@field draining_vms integer scripts that were replaced and still have requests
---@field draining_tasks integer
---@field longest_turn_us integer of the loop, in the last second

--- The workers as they were at most a second ago.
---@return control.Worker[]
function control.workers() end

--- Where a function begins; nothing for one that is not Lua.
---@param fn function
---@return string|nil file below the application's folder
---@return integer|nil line
function control.where(fn) end

--- Specs only (the setting test.clock): the clocks and timers of the process go forward.
---@param seconds number
function control.advance(seconds) end

return control
