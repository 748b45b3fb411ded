---@meta host.task

local task = {}

--- Runs fn(...) as a task of its own from the worker's next turn on. What it raises is logged. A
--- task spawned by lua/start/ ends when new scripts take over; one spawned by a request does not.
---@param fn fun(...: any)
---@param ... any
---@return integer id
function task.spawn(fn, ...) end

--- The id of the running task.
---@return integer
function task.current() end

--- Ends a task where it waits; its `<close>` variables run. Not the running one. An id of a task that
--- has ended does nothing.
---@param id integer
function task.cancel(id) end

--- Whether a task has not ended yet.
---@param id integer
---@return boolean
function task.alive(id) end

return task
