-- Responses are plain tables; these are their constructors. C sends them:
--   { status = 200, type = "text/plain; charset=utf-8", headers = { Name = "v" or { "v1", "v2" } },
--     body = "..." }
-- and instead of body: file = { path, offset, length }, stream = { kind, topic, watch } or
-- chunks = function(write). Nothing here touches the connection, so that a handler can be tested
-- with plain tables.
local errors = require "web.errors"
local json = require "host.json"

local encode = json.encode
local response = {}

---@class web.Response
---@field status? integer 200 when absent
---@field type? string Content-Type
---@field headers? table<string, string|string[]>
---@field body? string
---@field file? { path: string, offset?: integer, length?: integer }
---@field stream? { kind: "mixed"|"sse", topic: string, watch?: any, preamble?: string,
--- identity?: web.Identity }
---@field chunks? fun(write: fun(data: string))
---@field proxy? userdata a plan (web.proxy): the request is passed on
---@field request_headers? table<string, string|false> with `proxy`: set for the upstream
---@field path? string with `proxy`: asked for instead of the request's


-- (text) or (status, text). Errors have no place: as a rule this is a tail call, and Lua would name
-- who called the handler.
local function typed(name, content_type)
  return function(status, body)
    if body == nil then status, body = 200, status end
    if type(body) ~= "string" then
      error(("web.%s takes a string, got %s"):format(name, type(body)), 0)
    end
    return { status = status, type = content_type, body = body }
  end
end

--- `web.text("hi")` or `web.text(404, "no")`
---@type fun(status: integer|string, body?: string): web.Response
response.text = typed("text", "text/plain; charset=utf-8")

--- `web.html("<p>hi")` or `web.html(404, "<p>no")`
---@type fun(status: integer|string, body?: string): web.Response
response.html = typed("html", "text/html; charset=utf-8")

--- `web.svg("<svg/>")`: a picture, without the headers that a stranger's picture needs (see
--- pictures.response).
---@type fun(status: integer|string, body?: string): web.Response
response.svg = typed("svg", "image/svg+xml")


--- `web.json { a = 1 }` or `web.json(201, { a = 1 })`. JSON null as the value is `json.null`.
---@param status integer|any
---@param value? any
---@return web.Response
function response.json(status, value)
  if value == nil then
    return { status = 200, type = "application/json", body = encode(status) }
  end
  return { status = status, type = "application/json", body = encode(value) }
end


--- An answer without a body.
---@param status? integer 204
---@param headers? table
---@return web.Response
function response.empty(status, headers)
  return { status = status or 204, headers = headers }
end


--- `web.redirect("/there")`: 303 unless told.
---@param location string
---@param status? integer
---@return web.Response
function response.redirect(location, status)
  if type(location) ~= "string" then
    error("web.redirect takes a location, got " .. type(location), 0)
  end
  return { status = status or 303, headers = { Location = location } }
end


--- An error answer as a value; `web.throw` is the same from any depth.
---@param status integer
---@param code string
---@param message string
---@param headers? table
---@param fields? table<string, any>
---@return web.Response
function response.error(status, code, message, headers, fields)
  return errors.response(errors.new(status, code, message, headers, fields))
end


--- A body that is made piece by piece: fn(write) runs in the same task, write waits for room.
---@param content_type string
---@param fn fun(write: fun(data: string))
---@return web.Response
function response.chunks(content_type, fn)
  return { status = 200, type = content_type, chunks = fn }
end


---@class web.StreamOptions
---@field headers? table
---@field watch? any from topics.open: keeps the topic live until the viewer has joined it
---@field preamble? string bytes after the head that readers skip
---@field presence? boolean the viewer is present in the topic; what its rule says when absent
---@field identity? web.Identity whose stream it is: it ends with the token, and by revocation
---@field id? string of host.hub.connection_id, where a hook has heard of it already

--- The newest values of a topic as a picture that changes (multipart/x-mixed-replace).
---@param topic string
---@param options? web.StreamOptions
---@return web.Response
function response.mixed(topic, options)
  options = options or {}
  return {
    status = 200,
    headers = options.headers,
    stream = {
      kind = "mixed", topic = topic, watch = options.watch, preamble = options.preamble,
      presence = options.presence, identity = options.identity, id = options.id,
    },
  }
end


--- Sets headers on a response. Its table of headers is replaced, not changed: a handler may return
--- one that it shares between answers.
---@param res web.Response
---@param headers table<string, string|string[]>
---@return web.Response
function response.with(res, headers)
  local all = {}
  for name, value in pairs(res.headers or {}) do all[name] = value end
  for name, value in pairs(headers) do all[name] = value end
  res.headers = all
  return res
end

return response
