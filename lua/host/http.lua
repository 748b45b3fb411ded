-- Requests to other servers: `local http = require "host.http"`.
--
--   local res, message, code = http.get "https://api.example/items"
--   local res = http.request { url = "http://10.0.0.5/job", method = "POST", json = { n = 1 },
--     timeout = 5, allow_private = true }
--   for event in http.events { url = "https://api.example/feed" } do print(event.data) end
--
-- A failure of the world is nil, message, code; code is one of dns, refused, connect, tls, timeout,
-- reset, bad_response, too_large, busy. Any status is an answer, 500 too.
--
-- Private, loopback and link-local addresses are refused unless `allow_private` is given (or the
-- setting client.allow lists them), so that a URL from user input can't reach what only this
-- machine can. The connection, its framing and its limits are C (host.client); here is what a
-- script sees of them. Rejected: following redirects unasked, which takes the choice of the address
-- away from who checked it.
local client = require "host.client"
local events = require "host.event_feed"
local json = require "host.json"

local http = {}

local BODY_MAX = 8 * 1024 * 1024
local REDIRECTS = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }


---@class http.Request
---@field url string http:// or https://; with `unix` only the path and query
---@field unix? string path of a unix socket
---@field method? string "GET" when absent, "POST" with a body
---@field headers? table<string, string>
---@field body? string
---@field json? any encoded as the body
---@field timeout? number seconds for all of it, 30 when absent (events and streams: none)
---@field connect_timeout? number 10
---@field idle_timeout? number silence in the middle of the answer, 60
---@field allow_private? boolean the address may be a private one
---@field insecure? boolean the certificate is not checked
---@field redirects? integer how many redirects are followed, 0 when absent
---@field max? integer bytes of the answer's body, 8 MiB when absent
---@field stream? boolean the body is not read: `res:read()` gives it piece by piece

---@class http.Answer
---@field status integer
---@field headers table<string, string> lower-case names; repeats are joined by ", "
---@field body string
---@field read fun(self): string|nil, string|nil, string|nil the next piece; nil at the end; waits
---@field close fun(self)


local function copy(options)
  local all = {}
  for name, value in pairs(options) do all[name] = value end
  all.headers = {}
  for name, value in pairs(options.headers or {}) do all.headers[name] = value end
  return all
end


local function default(headers, wanted, value)
  for name in pairs(headers) do
    if name:lower() == wanted:lower() then return end
  end
  headers[wanted] = value
end


local function prepare(options)
  if type(options) == "string" then options = { url = options } end
  if type(options) ~= "table" then error("a URL or a table of options is expected", 3) end
  local all = copy(options)
  if all.json ~= nil then
    all.body = json.encode(all.json)
    default(all.headers, "Content-Type", "application/json")
  end
  all.method = all.method or (all.body and "POST" or "GET")
  default(all.headers, "User-Agent", "lunacast")
  return all
end


local Answer = {}
Answer.__index = Answer

function Answer:read()
  return self.raw:read()
end

function Answer:close()
  self.raw:close()
end

Answer.__close = Answer.close


local function answer(raw)
  return setmetatable({ raw = raw, status = raw.status, headers = raw.headers }, Answer)
end


-- The whole body, `max` bytes at most.
local function read_all(raw, max)
  local pieces, size = {}, 0
  while true do
    local piece, message, code = raw:read()
    if not piece then
      if code then return nil, message, code end
      return table.concat(pieces)
    end
    size = size + #piece
    if size > max then
      raw:close()
      return nil, ("the answer's body is larger than %d bytes"):format(max), "too_large"
    end
    pieces[#pieces + 1] = piece
  end
end


-- Where a redirect leads to, as an absolute URL.
local function absolute(base, location)
  if location:find "^https?://" then return location end
  local origin = base:match "^(https?://[^/?#]+)"
  if location:sub(1, 2) == "//" then return base:match "^(https?:)" .. location end
  if location:sub(1, 1) == "/" then return origin .. location end
  local folder = base:match "^https?://[^/?#]+(/[^?#]*/)" or "/"
  return origin .. folder .. location
end


local function forget_secrets(headers)
  for name in pairs(headers) do
    local lower = name:lower()
    if lower == "authorization" or lower == "cookie" then headers[name] = nil end
  end
end


-- Changes the options for the next hop; nil, message, code when it must not be taken.
local function redirect(options, raw)
  local url = absolute(options.url, raw.headers.location)
  if options.url:find "^https:" and not url:find "^https:" then
    return nil, "the redirect leads from https to http", "refused"
  end
  if url:match "^https?://[^/?#]+" ~= options.url:match "^https?://[^/?#]+" then
    forget_secrets(options.headers)
  end
  if raw.status == 303 or (options.method == "POST" and raw.status < 307) then
    options.method, options.body = "GET", nil
  end
  options.url = url
  return true
end


-- Opens and follows redirects, as many as are asked for.
local function open(options)
  local left = options.redirects or 0
  while true do
    local raw, message, code = client.open(options)
    if not raw then return nil, message, code end
    if left == 0 or not REDIRECTS[raw.status] or not raw.headers.location then return raw end
    raw:close()
    left = left - 1
    local ok
    ok, message, code = redirect(options, raw)
    if not ok then return nil, message, code end
  end
end


--- One request; waits for the whole answer (or its head, with `stream`).
---@param options http.Request|string
---@return http.Answer|nil
---@return string|nil message
---@return string|nil code
function http.request(options)
  options = prepare(options)
  if options.stream then
    local raw, message, code = open(options)
    if not raw then return nil, message, code end
    return answer(raw)
  end
  options.timeout = options.timeout or 30
  default(options.headers, "Accept-Encoding", "gzip")
  local raw <close>, message, code = open(options)
  if not raw then return nil, message, code end
  local body
  body, message, code = read_all(raw, options.max or BODY_MAX)
  if not body then return nil, message, code end
  local res = answer(raw)
  res.body = body
  return res
end


---@param url string
---@param options? http.Request
function http.get(url, options)
  local all = copy(options or {})
  all.url, all.method = url, "GET"
  return http.request(all)
end


---@param url string
---@param options? http.Request
function http.post(url, options)
  local all = copy(options or {})
  all.url, all.method = url, "POST"
  return http.request(all)
end


local function asks_for_events(options)
  options = prepare(options)
  default(options.headers, "Accept", "text/event-stream")
  options.idle_timeout = options.idle_timeout or 300
  return options
end


-- nil, message, code unless the answer is a stream of events.
local function open_events(options)
  local raw, message, code = open(asks_for_events(options))
  if not raw then return nil, message, code end
  local kind = (raw.headers["content-type"] or ""):match "^[^;%s]*"
  if raw.status == 200 and kind == "text/event-stream" then return raw end
  raw:close()
  return nil, ("the answer is no stream of events but %d %s"):format(raw.status, kind),
    "bad_response"
end


--- Server-sent events, one by one: `for event in http.events { url = ... } do`. The loop ends
--- with the stream; `feed.failure` tells why when it was not its own end:
---   local feed = http.events { url = ... }
---   for event in feed do ... end
---   if feed.failure then log.warn(feed.failure) end
---@param options http.Request|string
---@return table feed callable; fields failure, code, last_id; feed:close()
function http.events(options)
  local raw, message, code = open_events(options)
  return events.reader(raw, message, code)
end

return http
