-- The header Authorization: Bearer TOKEN (RFC 6750).
local header = {}


--- The token that it carries. What stands in it is for who reads the token to say.
---@param req web.Request
---@return string|nil token nil: there is no such header; "": it has another form
function header.bearer(req)
  local value = req:header "authorization"
  if not value then return nil end
  -- Most say it like this; a pattern looks at each byte.
  local token = value:sub(1, 7) == "Bearer " and value:sub(8)
  if token and token ~= "" and not token:find(" ", 1, true) then return token end
  return value:match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+) *$" or ""
end

return header
