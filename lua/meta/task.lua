---@meta host.task

local task = {}

--- Runs fn(...) as a task of its own from the worker's next turn on. What it raises is logged. A
--- task spawned by lua/start/ ends when new scripts take over; one spawned by a request does not.
---@param fn fun(...: any)
---@param ... any
---@return integer id
function task.spawn(fn, ...) end

--- Whether a task that was spawned has not ended yet.
---@param id integer
---@return boolean
function task.alive(id) end

return task
