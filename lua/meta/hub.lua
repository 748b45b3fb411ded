---@meta host.hub

-- Topics: a value that is published reaches every subscriber of that topic on every worker and, with
-- Redis, on every node. Names are 1 to 255 bytes.
local hub = {}

---@class hub.Options
---@field version? integer the topic takes only higher ones; by the clock when absent
---@field ttl? number seconds after which the topic ends for its subscribers; never when absent
---@field mode? "latest"|"log" log: the data is a message, which goes to each who has subscribed to
--- the topic with mode = "log", and is not kept

--- Publishes a value. Waits for the bus where there is one.
---@param topic string
---@param data string
---@param options? hub.Options
---@return true|nil
---@return string|nil message
---@return "unavailable"|nil code
function hub.publish(topic, data, options) end

--- To this node only: a value that was read from the store. Does not wait.
---@param topic string
---@param data string
---@param options? hub.Options
function hub.publish_local(topic, data, options) end

--- Ends a topic for its subscribers on all nodes. Waits.
---@param topic string
---@return true|nil
---@return string|nil message
---@return "unavailable"|nil code
function hub.close(topic) end

--- The same on this node only. Does not wait.
---@param topic string
function hub.close_local(topic) end

---@class hub.Watch
---@field topic string
---@field data string|nil the newest value now
---@field version integer|nil
local watch = {}

--- Ends the watch; harmless the second time.
function watch:close() end

--- Keeps a topic live on this node, so that no update is missed while its value is read from the
--- store: `local watch <close> = hub.watch(topic)`. Waits until the node receives the topic.
---@param topic string
---@return hub.Watch|nil
---@return string|nil message
---@return "unavailable"|nil code
function hub.watch(topic) end

--- The newest value of a topic that is live on this node.
---@param topic string
---@return string|nil data
---@return integer|nil version
function hub.latest(topic) end

--- Subscribers of a topic on this node.
---@param topic string
---@return integer
function hub.count(topic) end

--- The topics that are live on this node, in no order.
---@param prefix? string only those whose names begin so
---@return string[]
function hub.topics(prefix) end

return hub
