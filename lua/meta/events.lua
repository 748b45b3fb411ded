---@meta host.events

---Server-sent events as bytes, for topics whose streams have form = "ready". web.sse does all that.
---@class host.events
---@field END_ID string the id of the event with which a handler's stream ends
local events = {}

---An event. Its id is the message's position.
---@param event string|{ event?: string, data?: string, retry?: integer }
---@param last? boolean streams end after it
---@return string
function events.encode(event, last) end

---How many handlers of this worker go on without their clients.
---@return integer
function events.running() end

---Are these the bytes of the last event of a stream?
---@param bytes string
---@return boolean
function events.is_last(bytes) end

return events
