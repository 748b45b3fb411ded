-- Query strings and form bodies (application/x-www-form-urlencoded), Cookie headers, escaping.
local query = {}

local MAX_PAIRS = 1000
local char = string.char


local function hex(digits)
  return char(tonumber(digits, 16))
end


--- %XX and + become what they stand for; a % that begins no escape stays.
---@param text string
---@return string
function query.decode(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", hex))
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
  for name, value in (header or ""):gmatch "([^=;%s]+)=([^;]*)" do
    if cookies[name] == nil then cookies[name] = value:match '^"?(.-)"?%s*$' end
  end
  return cookies
end

return query
