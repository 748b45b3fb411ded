---@meta host.account

--- Whose time and failures are counted: for web.plugins, which tells C where the code of a plugin
--- begins and ends. The metrics are plugin_seconds_total and plugin_errors_total.
local account = {}

--- The number of a name, the same on every worker; 0 (nobody) when there are too many.
---@param name string
---@return integer id
function account.of(name) end

--- The code that follows is id's, until this is called again or the task ends.
---@param id integer 0: nobody's
---@return integer before
function account.enter(id) end

--- `return account.back(before, fn(...))`: enters `before` again and hands fn's results through.
---@param before integer
---@param ... any
---@return any ...
function account.back(before, ...) end

--- Counts a failure that somebody caught. Those that end a task are counted by themselves.
---@param id integer
function account.failed(id) end

--- Failures since the process began, on all workers.
---@param id integer
---@return integer
function account.failures(id) end

return account
