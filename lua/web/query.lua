-- Query strings and form bodies (application/x-www-form-urlencoded), Cookie headers, escaping. What
-- a peer sends costs linear time, whatever it is: no pattern here can begin again and again.
local query = {}

local MAX_PAIRS = 1000

-- "4a", "4A" and so on: a look-up in C for each escape of a megabyte, and no call.
local BYTES = {}
for byte = 0, 255 do
  local small, large = ("%02x"):format(byte), ("%02X"):format(byte)
  BYTES[small], BYTES[large] = string.char(byte), string.char(byte)
  BYTES[small:sub(1, 1) .. large:sub(2)] = string.char(byte)
  BYTES[large:sub(1, 1) .. small:sub(2)] = string.char(byte)
end


--- %XX and + become what they stand for; a % that begins no escape stays.
---@param text string
---@return string
function query.decode(text)
  if not text:find "[%%+]" then return text end
  return (text:gsub("+", " "):gsub("%%(%x%x)", BYTES))
end


local function quote(c)
  return ("%%%02X"):format(c:byte())
end


--- For one segment or value: everything but letters, digits and -._~ is escaped.
---@param text string
---@return string
function query.encode(text)
  return (text:gsub("[^%w%-._~]", quote))
end


--- Name to value; of a repeated name the first value counts (`all` has every one).
---@param text string|nil
---@return table<string, string> first
---@return table<string, string[]> all
function query.parse(text)
  local first, all, count = {}, {}, 0
  for pair in (text or ""):gmatch "[^&]+" do
    count = count + 1
    if count > MAX_PAIRS then break end
    local name, value = pair:match "^([^=]*)=(.*)$"
    name, value = query.decode(name or pair), query.decode(value or "")
    if first[name] == nil then
      first[name], all[name] = value, { value }
    else
      local list = all[name]
      list[#list + 1] = value
    end
  end
  return first, all
end


--- The Cookie header; of a repeated name the first counts.
---@param header string|nil
---@return table<string, string>
function query.cookies(header)
  local cookies = {}
  for pair in (header or ""):gmatch "[^;]+" do
    local name, value = pair:match "^%s*([^=%s]+)=(.*)$"
    if name and cookies[name] == nil then
      value = value:match "^.*%S" or ""
      cookies[name] = value:match '^"(.*)"$' or value
    end
  end
  return cookies
end

return query
