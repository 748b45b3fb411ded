-- Keeps whole answers of GET for a minute, the same for everybody who may come this far: so it
-- stands behind the middleware that says who may. A route names the group of web.cache that its
-- changes forget: `cache = "posts"`. A client that wants it fresh sends Cache-Control: no-cache.
local cache = require "web.cache"
local json = require "host.json"

local SECONDS = 60


local function plain(res)
  return res.status == 200 and type(res.body) == "string"
end


local function fresh(req)
  local wish = req:header "cache-control"
  return wish ~= nil and wish:find("no-cache", 1, true) ~= nil
end


local function restore(text)
  local length, at = text:match "^(%d+) ()"
  local split = at + math.tointeger(length)
  local head = json.decode(text:sub(at, split - 1))
  return { status = 200, type = head.type, headers = head.headers, body = text:sub(split) }
end


return function(req, next)
  local group = req.route.cache
  if req.method ~= "GET" or not group or fresh(req) then return next(req) end
  local other
  local text = cache.get(("%s:%s?%s"):format(group, req.path, req.x:query()), SECONDS, function()
    local res = next(req)
    if not plain(res) then
      other = res
      return nil
    end
    local head = json.encode { type = res.type, headers = res.headers }
    return ("%d %s%s"):format(#head, head, res.body)
  end)
  return text and restore(text) or other or next(req)
end
