-- What a handler gets. A request is a table with the exchange in it; what is the same for all
-- requests to an endpoint stands behind its metatable (a class, made at load), and everything else
-- is computed when it is first read and then kept. So a route that needs nothing pays for nothing.
--
-- Reading `body` or `json` waits for the body and ends the request with 400, 413 or 415 where it is
-- not what it should be, so that a handler deals with good input only.
local errors = require "web.errors"
local query = require "web.query"

local throw = errors.throw

local JSON_REFUSALS = { wrong_type = 415, empty_body = 400, bad_json = 400 }

---@class web.Request
---@field x web.Exchange
---@field method string
---@field path string decoded and normalised
---@field params table<string, string> of `{name}` in the route's path
---@field tail string|nil what `**` stands for
---@field route web.Route the route table that answers
---@field headers table<string, string> lower-case names
---@field query table<string, string> the first value of each name
---@field query_all table<string, string[]>
---@field cookies table<string, string>
---@field body string waits
---@field json any the body as it was sent, decoded; waits
---@field form table<string, string> the decoded form body; waits
---@field id string request id, also in the log and in X-Request-ID
---@field peer string the client's address; of trusted proxies, whom they name (proxy.trusted)
---@field network string the same, but a /64 of IPv6 is one, "2001:db8:1:2::/64": for counting
---@field scheme string "http" or "https"
---@field origin string scheme and host, "http://localhost:3000"
---@field claims table|nil of the token, where the middleware `bearer` is used
local request = {}

-- Computed once each: field -> function(req).
local lazy = {}
-- Methods: called as req:name(...).
local methods = {}


--- The metatable of requests that have these fields in common.
---@param common { method?: string, path?: string, route?: web.Route }
---@return table
function request.class(common)
  return {
    __name = "web.Request",
    __index = function(req, key)
      local known = common[key] or methods[key]
      if known then return known end
      local compute = lazy[key]
      if not compute then return nil end
      local value = compute(req)
      req[key] = value
      return value
    end,
  }
end

local Request = request.class {}


--- A request around an exchange.
---@param x any
---@param method string
---@param path string
---@param route? web.Route
---@param params? table<string, string>
---@param tail? string
---@return web.Request
function request.new(x, method, path, route, params, tail)
  return setmetatable({
    x = x, method = method, path = path, route = route, params = params, tail = tail,
  }, Request)
end


function lazy.params()
  return {}
end


function lazy.headers(req)
  return req.x:headers()
end


function lazy.query(req)
  local first, all = query.parse(req.x:query())
  req.query_all = all
  return first
end


function lazy.query_all(req)
  local first, all = query.parse(req.x:query())
  req.query = first
  return all
end


function lazy.cookies(req)
  return query.cookies(req.x:header "cookie")
end


function lazy.id(req)
  return req.x:id()
end


function lazy.peer(req)
  return req.x:peer()
end


function lazy.network(req)
  return req.x:network()
end


function lazy.scheme(req)
  return req.x:scheme()
end


function lazy.origin(req)
  return req.scheme .. "://" .. (req.x:host() or "localhost")
end


function lazy.body(req)
  local body, message, code = req.x:body(req.route and req.route.body_limit)
  if not body then errors.throw_world(message, code, "the body could not be read") end
  return body
end


function lazy.json(req)
  local route = req.route
  local value, message, code = req.x:json(route and route.body_limit)
  if value ~= nil then return value end
  if JSON_REFUSALS[code] then throw(JSON_REFUSALS[code], code, message) end
  return errors.throw_world(message, code, "the body could not be read")
end


function lazy.form(req)
  local kind = (req.x:header "content-type" or ""):match "^%s*([^;%s]*)"
  if kind:lower() ~= "application/x-www-form-urlencoded" then
    throw(415, "wrong_type", "the body must be a form (application/x-www-form-urlencoded)")
  end
  return (query.parse(req.body))
end


--- The value of a header, any case of the name; repeats are joined by ", ".
---@param name string
---@return string|nil
function methods.header(req, name)
  return req.x:header(name)
end


--- Every answer to this request will carry the header, also one that is thrown or a 500; an answer
--- that has a header of that name keeps its own (Vary and Set-Cookie are added). For middleware.
---@param name string
---@param value string
function methods.default_header(req, name, value)
  req.x:default_header(name, value)
end


--- The next piece of the body as it comes, nil at its end. Not together with `body`.
---@return string|nil
function methods.read(req)
  local piece, message, code = req.x:read()
  if not piece and code then errors.throw_world(message, code, "the body could not be read") end
  return piece
end


--- Does the client name this media type in Accept? Wildcards don't count: it asks for it.
---@param kind string "text/event-stream"
---@return boolean
function methods.asks_for(req, kind)
  local accept = req.x:header "accept"
  if not accept then return false end
  for item in accept:lower():gmatch "[^,]+" do
    local name, rest = item:match "^%s*([^;%s]+)%s*(.*)$"
    local quality = rest and tonumber(rest:match ";%s*q=([%d.]+)")
    if name == kind and quality ~= 0 then return true end
  end
  return false
end


--- Is it a person's browser tab that will show the answer? Browsers say so by Sec-Fetch-Dest, but
--- not to plain http on another machine; there a navigation is told by what else it sends.
---@return boolean
function methods.in_tab(req)
  local destination = req.x:header "sec-fetch-dest"
  if destination then return destination == "document" end
  return req.x:header "upgrade-insecure-requests" == "1" and req:asks_for "text/html"
end

return request
