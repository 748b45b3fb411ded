---@meta host.hub

-- Topics: a value that is published reaches every subscriber of that topic on every worker and, with
-- Redis, on every node. Names are 1 to 255 bytes.
local hub = {}

---@class hub.Options
---@field version? integer the topic takes only higher ones; by the clock when absent
---@field ttl? number seconds after which the topic ends for its subscribers; never when absent
---@field mode? "latest"|"log" log: the data is a message, which goes to each who has subscribed to
--- the topic with mode = "log", and is kept where the topic's rule has a history. Without a mode the
--- rule says it

--- Publishes a value. Waits for the bus where there is one.
---@param topic string
---@param data string at most 8 MiB
---@param options? hub.Options
---@return true|nil
---@return string|nil position "EPOCH:OFFSET" of a message whose topic keeps a history; or the message
--- of a failure
---@return "unavailable"|nil code
function hub.publish(topic, data, options) end

---@class hub.Query
---@field since? string a position: only what follows on it
---@field limit? integer 100 when absent, 1000 at most
---@field reverse? boolean the newest first

---@class hub.Page
---@field items { position: string, data: string, time: number }[] time: Unix seconds
---@field position string|nil of the newest message that there was; nil: the topic keeps no history
---@field recovered boolean|nil whether nothing is missing after `since`

--- The messages that a topic has kept, the oldest first. Waits for the bus where there is one.
---@param topic string
---@param query? hub.Query
---@return hub.Page|nil
---@return string|nil message
---@return "unavailable"|nil code
function hub.history(topic, query) end

---@class hub.Rule
---@field pattern string "news" or "news.*"
---@field mode? "latest"|"log"
---@field history? { messages?: integer, bytes?: integer, age?: number } 100 messages, 1 MiB and 300
--- seconds when absent in a table; without the table nothing is kept
---@field presence? boolean
---@field slow? string|{ ws?: string, sse?: string } "disconnect", "latest", "drop_oldest", "pause"
---@field max_wait? number seconds after which a message that still waits is left out, and told as a
--- gap; 0: never
---@field rate? integer messages a second to one subscriber; 0: any

--- Replaces the rules of all topics of this node. The framework does that from lua/topics/ and
--- config.lua (web.rules); an application has no need of it.
---@param list hub.Rule[]
function hub.rules(list) end

--- How a topic behaves.
---@param topic string
---@return { mode: "latest"|"log", presence: boolean, rate: integer, max_wait: number, history: table|nil }
function hub.rule(topic) end

--- The name of a topic that belongs to a session of a tenant. No two of them share a name.
---@param tenant string "": none
---@param session string
---@param topic string
---@return string
function hub.key(tenant, session, topic) end

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

--- What publish would send to all nodes, or close when there is no data, for a write to the store
--- that sends it in the same step (its options `channel` and `message`). Nothing: there are no other
--- nodes, and publish_local or close_local after the write does.
---@param topic string
---@param data? string
---@param options? { version: integer, ttl?: number }
---@return string|nil channel
---@return string|nil message
function hub.compose(topic, data, options) end

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
---@param since? string the position that a subscriber has got to: waits, too, until this node knows
--- all messages up to now
---@return hub.Watch|nil
---@return string|nil message
---@return "unavailable"|nil code
function hub.watch(topic, since) end

---@class hub.Subscription
local subscription = {}

--- Receives what is published on a topic from now on: `mode = "log"` each message, else values, the
--- newest one first. Does not wait; with Redis, what other nodes publish comes once this node
--- receives the topic, for which `web.listen` waits. Close it, best by `local sub <close> = ...`.
--- With `since`, the position of a message, what the topic's history has after it comes first.
---@param topic string
---@param options? { mode?: "latest"|"log", since?: string }
---@return hub.Subscription
function hub.subscribe(topic, options) end

--- The next message or value; waits. What comes while nobody waits is kept: of values the newest,
--- of messages 1,000 or 1 MiB, the oldest go first.
---@param seconds? number for ever when absent
---@return string|nil data
---@return integer|string lost messages that were lost before it, or at least so many; or message
---@return string|nil position of a message whose topic keeps a history; or code: "timeout", "ended",
--- "closed"
function subscription:next(seconds) end

function subscription:close() end

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

-- Who is connected --------------------------------------------------------------------------------

---@class hub.Whom which connections: all that is given must fit
---@field id? string
---@field user? string
---@field tenant? string
---@field jti? string of the token that it was opened with
---@field topic? string that it is subscribed to

---@class hub.Connection
---@field id string
---@field transport "ws"|"sse"|"mixed"
---@field node string
---@field worker integer
---@field user? string
---@field tenant? string
---@field jti? string
---@field exp? integer
---@field peer string
---@field opened integer Unix seconds
---@field queued integer bytes that wait for a slow client
---@field delivered integer messages sent
---@field topics string[] the first 20

--- The connections of all workers. Waits.
---@param whom? hub.Whom|{ limit?: integer, nodes?: boolean } limit: rows of each worker, 100 when
--- absent; nodes: those of other nodes too
---@return hub.Connection[]
---@return boolean whole false: a node has not answered within half a second
function hub.connections(whom) end

--- Ends connections on all nodes. Waits.
---@param whom hub.Whom|{ code?: integer, reason?: string } 4409 and "kicked" when absent
---@return integer count
function hub.disconnect(whom) end

--- Says a text to WebSockets (a message) and SSE streams (an event `say`) on all nodes,
--- whatever they are subscribed to: to a user's, or to all of a tenant. Waits.
---@param text string UTF-8
---@param whom hub.Whom
---@return integer count
function hub.say(text, whom) end

--- Ends subscriptions on all nodes; a stream that has lost its only topic ends. Waits.
---@param whom hub.Whom with a topic
---@return integer count
function hub.unsubscribe(whom) end

--- Gives an open connection of the same user a newer token's time. Waits.
---@param id string
---@param identity web.Identity
---@return integer count 0: no connection has that id and user
function hub.refresh(id, identity) end

--- Makes a token, or every token that a user or a tenant has until now, worthless, and ends its
--- connections on all nodes. The store keeps it until the tokens have expired. Waits.
---@param what { jti?: string, user?: string, tenant?: string, exp?: integer, seconds?: number } exp
--- or seconds: until when it is kept; as long as a token can live when absent. A jti FAMILY.REST is
--- revoked by FAMILY too
---@return integer|nil count of connections that it ended
---@return string|nil message
---@return "unavailable"|"too_many"|nil code unavailable: it is enforced, but not kept
function hub.revoke(what) end

--- Does a revocation concern this token? Does not wait.
---@param identity web.Identity
---@return boolean revoked
---@return boolean fresh false: the store must be read first (auth.revocations)
function hub.revoked(identity) end

---@return integer epoch changes when messages of other nodes may have been missed
---@return boolean fresh
---@return integer count
function hub.revocations() end

--- Enters what the store has kept.
---@param key string
---@param before integer
---@param expires integer
---@return boolean entered
function hub.restore_revocation(key, before, expires) end

--- All of the store was read: ends the connections that it concerns. Waits.
---@param epoch integer that of before the reading
---@return integer count
function hub.revocations_restored(epoch) end

--- An id for a connection, of its own over all nodes.
---@return string
function hub.connection_id() end

--- The name of this process among the nodes.
---@return string
function hub.node() end

--- The number of this worker among those of its process, from 0.
---@return integer
function hub.worker() end

--- Workers of this process.
---@return integer
function hub.workers() end

-- For web.news and web.presence -------------------------------------------------------------------

---@class hub.News
---@field kind "close"|"slow"|"join"|"leave"
---@field connection string
---@field transport string
---@field user? string
---@field tenant? string
---@field topic? string
---@field data? string JSON
---@field reason? string
---@field code? integer
---@field delivered integer
---@field queued integer
---@field seconds number since it was opened

--- What has happened to a connection of this worker, the oldest first.
---@return hub.News|nil
function hub.next_news() end

--- A topic (or user) of this worker whose members have changed.
---@return string|nil
function hub.next_room() end

--- Who is present in a topic by this worker.
---@param name string
---@param limit? integer members that are named; none when absent
---@return string json {"count","members"}
---@return integer count
function hub.room(name, limit) end

--- Makes every worker of this process tell anew who is present. Waits.
---@return integer
function hub.announce() end

--- How many nodes there are, so that nobody waits for more.
---@param n integer
function hub.set_nodes(n) end

return hub
