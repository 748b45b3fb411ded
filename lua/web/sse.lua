-- web.sse: streams of server-sent events.
--
--   web.sse("news", { mode = "log" })        a topic; no Lua runs per event
--   web.sse({ "a", "b" })                    several, each event tells which; also "a*"
--   web.sse(function(send, req) ... end)     the script's own; GET, or POST with a body
--   web.sse(fn, { resume = true })           the same, whoever loses the line goes on by GET
--
-- A client that comes back names the last id it has seen (Last-Event-ID, or ?lastEventId=): a topic
-- with a history goes on from there, or says that something is lost by an event `gap`. Who has seen
-- the end gets 204, which keeps an EventSource from coming back again.
--
-- With `resume` the events go through a topic of their own, "stream:ID", that keeps a history: the
-- handler goes on when its client is gone, and GET /sse/ID gives any client on any node the rest.
-- ID names the handler's node: when that dies, those who wait for the rest are told.
local config = require "host.config"
local crypto = require "host.crypto"
local errors = require "web.errors"
local events = require "host.events"
local hub = require "host.hub"
local json = require "host.json"
local log = require "host.log"
local metrics = require "host.metrics"
local task = require "host.task"
local time = require "host.time"
local topics = require "web.topics"

local sse = {}

local LOG = { mode = "log" }
-- Clients that lost the server come back within two seconds, not all at once.
local RETRY_MIN, RETRY_SPREAD = 1000, 1000
local ID_BYTES, ID_MAX = 18, 64
local TOGETHER = 64 -- events of a handler that does not wait, before others have their turn
local GRACE, LOOK = 30, 2
local HANDLERS = config.get "sse.handlers"
local missing = {} -- nodes that have handlers and no lease
local ended = metrics.counter("sse_handlers_ended_total",
  "Handlers of event streams that went on with nobody there.")
local KEPT = 1000 -- as in lua/topics/streams.lua

local HEADERS = { ["Cache-Control"] = "no-cache, no-store", ["X-Accel-Buffering"] = "no" }


local function headers_of(options)
  local headers = {}
  for name, value in pairs(HEADERS) do headers[name] = value end
  for name, value in pairs(options.headers or {}) do headers[name] = value end
  return headers
end


local function preamble_of(options)
  if options.preamble then return options.preamble end
  local retry = options.retry and math.floor(options.retry * 1000) or RETRY_MIN
  return ("retry: %d\n"):format(retry + math.random(0, RETRY_SPREAD))
end


local function respond(options, stream)
  stream.kind, stream.preamble = "sse", preamble_of(options)
  stream.identity, stream.id = options.identity, options.id
  return { status = 200, headers = headers_of(options), stream = stream }
end


local function follow(topic, options)
  local watch, message, code = topics.follow(topic, options)
  if not watch then errors.throw_world(message, code, "the topic can't be followed now") end
  return watch
end


-- A topic that this node listens to until the client has joined it.
local function entry_of(topic, options, since, present)
  local watch = options.watch or follow(topic, options)
  return {
    topic = topic, mode = options.mode, since = since, history = options.history, watch = watch,
    presence = present,
  }
end


local function of_topics(list, options)
  local entries = {}
  local since, present = options.since or {}, options.presence
  for i, topic in ipairs(list) do
    local here = present
    if type(present) == "table" then here = present[i] end
    entries[i] = entry_of(topic, options, since[i], here)
  end
  return respond(options, { topics = entries, form = "envelope" })
end


-- Handlers that go on without their client --------------------------------------------------------

local function topic_of(id)
  return "stream:" .. id
end


local function publish(topic, event)
  return hub.publish(topic, events.encode(event), LOG)
end


-- Of a handler that can't say it any more.
local function publish_end(topic)
  return hub.publish(topic, events.encode({ event = "end", data = '{"code":"error"}' }, true), LOG)
end


--- Ends those streams that are followed here and whose handlers' nodes have died: who was missing
--- the last time, too.
---@param living table<string, any> by the nodes' names
function sse.bury(living)
  local gone = {}
  for _, topic in ipairs(hub.topics(topic_of "")) do
    local node = topic:match "^stream:(%x+)%-"
    if node and not living[node] then
      gone[node] = true
      if missing[node] then publish_end(topic) end
    end
  end
  missing = gone
end


-- Is anybody there, on any node?
local function has_viewers(topic)
  if hub.count(topic) > 0 then return true end
  local found = hub.connections { topic = topic }
  return found == nil or #found > 0
end


-- Has the topic its last event, as far as anybody can know now?
local function is_over(topic)
  local page = hub.history(topic, { reverse = true, limit = 1 })
  local newest = page and page.items[1]
  return newest ~= nil and events.is_last(newest.data)
end


-- Looks after such a handler: when nobody was there for the grace time it is told so, and when it
-- goes on for as long again, it is ended: it holds a place that others may need. When it has ended
-- while the bus was away, who follows it hears so as soon as the bus is back.
local function watch(stream, handler)
  local seen = time.monotonic()
  while task.alive(handler) do
    time.sleep(math.min(LOOK, stream.grace / 2))
    local now = time.monotonic()
    if has_viewers(stream.topic) then seen = now end
    stream.gone = now - seen > stream.grace
    if now - seen > 2 * stream.grace and task.alive(handler) then
      log.warn("a handler of events went on with nobody there; it was ended",
        { topic = stream.topic })
      ended:inc()
      task.cancel(handler)
    end
  end
  time.sleep(LOOK)
  while not is_over(stream.topic) do
    publish_end(stream.topic)
    time.sleep(LOOK)
  end
end


-- send(event) of such a handler: true, or nil, message, "gone" when nobody was there for a while.
-- An event that can't be kept ends the stream: those that followed would hide the hole.
local function sender(stream)
  local topic, sent = stream.topic, 0
  return function(event)
    if stream.gone then return nil, "nobody is there any more", "gone" end
    local ok, message, code = publish(topic, event)
    if not ok then errors.throw_world(message, code, "an event can't be kept") end
    sent = sent + 1
    if sent % TOGETHER == 0 then time.sleep(0) end
    return true
  end
end


-- Its last event is C's, since it may be ended where it waits.
local function runner(fn, topic, grace)
  return function(_, req)
    local stream = { topic = topic, grace = grace, gone = false }
    task.spawn(watch, stream, task.current())
    fn(sender(stream), req)
  end
end


-- They outlive their clients, so that a limit of connections is none for them.
local function check_room()
  if events.running() >= HANDLERS then
    errors.throw(503, "busy", "too many streams are being made; try again in a moment",
      { ["Retry-After"] = "5" })
  end
end


local function resumable(fn, options)
  check_room()
  local id = hub.node() .. "-" .. crypto.base64url_encode(crypto.random(ID_BYTES))
  local topic, url = topic_of(id), "/sse/" .. id
  local entry = entry_of(topic, { mode = "log", history = 1 })
  local ok, message, code = publish(topic,
    { event = "stream", data = json.encode({ id = id, url = url }, { sort = true }) })
  if not ok then errors.throw_world(message, code, "the stream can't begin now") end
  entry.form, entry.keep = "ready", true
  entry.run = runner(fn, topic, options.grace or GRACE)
  local res = respond(options, entry)
  res.headers["Content-Location"] = res.headers["Content-Location"] or url
  return res
end


-- The newest event of a handler's stream; nil: there is no such stream. (To follow a topic would
-- begin it, for everybody who makes an id up.)
local function newest_of(id)
  if #id > ID_MAX or id:find "[^%w_-]" then return nil end
  local page, message, code = hub.history(topic_of(id), { reverse = true, limit = 1 })
  if not page then errors.throw_world(message, code, "the stream can't be read now") end
  return page.items[1]
end


--- GET /sse/ID: what is left of a handler's stream.
---@param id string
---@param last string|nil the id of the last event that the client has seen
---@return web.Response
function sse.rest(id, last)
  local newest = newest_of(id)
  if not newest then
    errors.throw(404, "not_found", "there is no such stream; it may have ended some time ago")
  end
  if newest.position == last and events.is_last(newest.data) then return { status = 204 } end
  local history = last == nil and KEPT or 0
  local entry = entry_of(topic_of(id), { mode = "log", history = history }, last)
  entry.form = "ready"
  return respond({}, entry)
end


-- web.sse ----------------------------------------------------------------------------------------

---@class web.EventsOptions
---@field mode? "latest"|"log" of topics; without it their rule says it
---@field history? integer so many of the newest messages first
---@field since? string|table<integer, string> a position, for a client that names none; of several
--- topics: each one's, by its place in the list
---@field presence? boolean|table<integer, boolean> the client is present in the topic, or in those
--- of several; what the topic's rule says when absent
---@field watch? any from topics.open
---@field retry? number seconds after which clients come back, and up to one more; 1 when absent
---@field headers? table
---@field preamble? string bytes before the events, in place of retry
---@field identity? web.Identity whose stream it is: it ends with the token, and by revocation
---@field id? string of host.hub.connection_id, where a hook has heard of it already
---@field keep? boolean of a function: it goes on without its client, `send` gives nil, "gone"
---@field resume? boolean of a function: it goes on, and clients come back to it
---@field grace? number with resume: seconds without any client after which `send` gives nil; after
--- as many again the handler is ended; 30

---@alias web.Event string|{ id?: string, event?: string, data?: string, retry?: integer }
---@alias web.Send fun(event: web.Event): true|nil, string|nil, string|nil

--- A stream of events as the answer.
---@param what string|string[]|fun(send: web.Send, req: web.Request)
---@param options? web.EventsOptions
---@return web.Response
function sse.response(what, options)
  options = options or {}
  if type(what) == "string" then
    if what:sub(-1) == "*" then return of_topics({ what }, options) end
    return respond(options, entry_of(what, options, options.since, options.presence))
  end
  if type(what) == "table" then return of_topics(what, options) end
  if type(what) ~= "function" then
    error("web.sse takes a topic, a list of topics or a function", 2)
  end
  if options.resume then return resumable(what, options) end
  if options.keep then check_room() end
  return respond(options, { run = what, keep = options.keep })
end


--- The id of the last event that this client has seen.
---@param req web.Request
---@return string|nil
function sse.last_id(req)
  local last = req:header "last-event-id" or req.query.lastEventId
  return last ~= "" and last or nil
end


--- What boot.lua makes of a stream of events before C sends it: the client's place, and the body,
--- which can't be read any more once the stream has begun.
---@param req web.Request
---@param res web.Response
---@return web.Response
function sse.prepare(req, res)
  local stream, last = res.stream, sse.last_id(req)
  if stream.run then
    if last == events.END_ID then return { status = 204 } end
    stream.req = req
    if req.method ~= "GET" then local _ = req.body end
  elseif stream.topic and last then
    stream.since = last
  end
  return res
end

return sse
