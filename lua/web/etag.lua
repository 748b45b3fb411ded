-- Entity tags and the conditions that clients put on them (RFC 9110, section 13).
local errors = require "web.errors"

local etag = {}


-- Calls visit(weak, tag) for each tag of the list until it returns true.
local function any(header, visit)
  for weak, tag in header:gmatch '(W?/?)("[^"]*")' do
    if visit(weak ~= "", tag) then return true end
  end
  return false
end


--- If-None-Match: has the client this version already? Weak comparison.
---@param header string|nil
---@param tag string with its quotes
---@return boolean
function etag.known(header, tag)
  if not header then return false end
  if header:match "^%s*%*%s*$" then return true end
  local bare = tag:gsub("^W/", "")
  return any(header, function(_, other) return other == bare end)
end


--- If-Match: may a change of this version go on? Strong comparison; without the header, yes.
---@param header string|nil
---@param tag string
---@return boolean
function etag.holds(header, tag)
  if not header or header:match "^%s*%*%s*$" then return true end
  return any(header, function(weak, other) return not weak and other == tag end)
end


--- Ends the request with 412 where If-Match names another version.
---@param header string|nil
---@param tag string
function etag.require(header, tag)
  if etag.holds(header, tag) then return end
  errors.throw(412, "precondition_failed",
    ("it has changed: If-Match does not name its version %s; read it again"):format(tag),
    { ETag = tag })
end

return etag
