---@meta host.event

---Something that tasks of one worker wait for. Set once, it stays set.
---@class host.event
local event = {}

---@class host.Event
local methods = {}

---@return host.Event
function event.new() end

---Waits until the event is set, or so many seconds; other tasks go on.
---@param seconds? number for ever when absent
---@return boolean set false: the time is over
function methods:wait(seconds) end

---Wakes all who wait; whoever waits later goes on at once.
function methods:set() end

---@return boolean
function methods:is_set() end

return event
