---@meta

-- The types of the framework, for editors; the functions are annotated where they are written
-- (lua/web/*.lua).

--- A route file returns one of these, or a list of them. Upper-case fields are methods; HEAD and
--- OPTIONS are answered without a handler of their own.
---@class web.Route
---@field path string "/hello/{name}"; `**` at the end stands for any rest, in req.tail
---@field middleware? (string|web.Middleware)[] names of files in lua/middleware/, or functions
---@field body_limit? integer bytes of a request body, instead of the setting limits.body
---@field describe? table<string, web.Description> by method; see web.describe
---@field cache? string with the middleware `cached`: the group of web.cache
---@field cache_seconds? number with the middleware `cached`: how long; 60
---@field errors? fun(err: web.Error): web.Response how errors of this route look, for clients who
--- expect another form; it does not wait
---@field GET? web.Handler
---@field HEAD? web.Handler
---@field POST? web.Handler
---@field PUT? web.Handler
---@field PATCH? web.Handler
---@field DELETE? web.Handler
---@field OPTIONS? web.Handler
---@field WS? web.Socket

---@alias web.Handler fun(req: web.Request): web.Response

--- A file in lua/middleware/ returns one of these.
---@alias web.Middleware fun(req: web.Request, next: web.Handler): web.Response

--- A file in lua/start/ returns one of these: a task that begins with the server, on one worker, and
--- again when the scripts are reloaded.
---@alias web.Start fun(info: { worker: integer })

--- A file in lua/topics/ returns one of these: where the newest value of topics is read from.
---@class web.TopicSource
---@field renew? fun(topic: string) makes the value anew after a reload (setting rerender)
---@field prefixes string[] of the topics' names
---@field read fun(topic: string): string|nil, integer|string|nil, number|string|nil value, version
--- and seconds to live; nil when it is gone; nil, message, code when the world failed

--- What C hands to boot.dispatch; scripts use web.Request around it.
---@class web.Exchange
local exchange = {}

---@param name string any case
---@return string|nil
function exchange:header(name) end

---@return table<string, string> lower-case names; repeats are joined by ", "
function exchange:headers() end

---@return string raw, without "?"
function exchange:query() end

---@return string the target as it was sent
function exchange:target() end

---@return string request id
function exchange:id() end

---@return string
function exchange:peer() end

---@return string the peer, but a /64 of IPv6 as one
function exchange:network() end

---@return "http"|"https"
function exchange:scheme() end


---@return string|nil the host (and port) that the client asked for
function exchange:host() end

---@return integer 0 or 1, of HTTP/1.x
function exchange:minor() end

--- The whole body; waits.
---@param limit? integer bytes
---@return string|nil body
---@return string|nil message
---@return "too_large"|"too_slow"|"aborted"|nil code
function exchange:body(limit) end

--- The whole body as JSON, decoded; waits. Null is host.json's null.
---@param limit? integer bytes
---@return any|nil value
---@return string|nil message
---@return "wrong_type"|"empty_body"|"bad_json"|"too_large"|"too_slow"|"aborted"|nil code
function exchange:json(limit) end

--- The next piece of the body; nil at its end; waits.
---@return string|nil piece
---@return string|nil message
---@return "too_large"|"too_slow"|"aborted"|nil code
function exchange:read() end

--- Every answer to this request carries the header (web.Request has the same).
---@param name string
---@param value string
function exchange:default_header(name, value) end

--- Names the route for logs and metrics; without an argument, tells its name.
---@param pattern? string
---@return string|nil
function exchange:route(pattern) end
