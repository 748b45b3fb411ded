-- Keeps whole answers of GET for a minute (`cache_seconds` of the route: for so long), the same for
-- everybody who may come this far: so it stands behind the middleware that says who may. A route
-- names the group of web.cache that its changes forget: `cache = "posts"`. A client that wants it
-- fresh sends Cache-Control: no-cache; one that has the version of the answer's ETag gets 304.
local cache = require "web.cache"
local etag = require "web.etag"
local json = require "host.json"
local web = require "web"

local SECONDS = 60


local function plain(res)
  return res.status == 200 and type(res.body) == "string"
end


local function fresh(req)
  local wish = req:header "cache-control"
  return wish ~= nil and wish:find("no-cache", 1, true) ~= nil
end


local function to_keep(res)
  local headers = res.headers or {}
  return { type = res.type, headers = headers, body = res.body,
    bytes = #res.body + #json.encode(headers) }
end


-- The answer is who asks for it's own: middleware may add headers.
local function answer(kept)
  local headers = {}
  for name, value in pairs(kept.headers) do headers[name] = value end
  return { status = 200, type = kept.type, headers = headers, body = kept.body }
end


local function find(req, next)
  local route = req.route
  local other
  local key = route.cache .. ":" .. req.path .. "?" .. req.x:query()
  local kept = cache.get(key, route.cache_seconds or SECONDS, function()
    local res = next(req)
    if plain(res) then return to_keep(res) end
    other = res
    return nil
  end)
  return kept and answer(kept) or other or next(req)
end


local function conditional(req, res)
  local tag = plain(res) and res.headers and res.headers.ETag
  if tag and etag.known(req:header "if-none-match", tag) then return web.empty(304, res.headers) end
  return res
end


return function(req, next)
  local reads = req.method == "GET" or req.method == "HEAD"
  if not reads or not req.route.cache then return next(req) end
  if req.method == "HEAD" or fresh(req) then return conditional(req, next(req)) end
  return conditional(req, find(req, next))
end
