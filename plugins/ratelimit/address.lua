-- Addresses as eight groups of sixteen bits; one of IPv4 lies in ::ffff:0:0/96, as in the kernel.
local address = {}


local function parse_v4(text)
  local a, b, c, d = text:match "^(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)%.(%d%d?%d?)$"
  if not a then return nil end
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  if a > 255 or b > 255 or c > 255 or d > 255 then return nil end
  return a << 8 | b, c << 8 | d
end


local function groups_of(text, list)
  if text == "" then return true end
  for group in (text .. ":"):gmatch "([^:]*):" do
    if not group:find "^%x%x?%x?%x?$" then return false end
    list[#list + 1] = tonumber(group, 16)
  end
  return #list <= 8
end


--- The groups of an address, with or without brackets and zone; nil: it is none.
---@param text string
---@return integer[]|nil
function address.parse(text)
  local high, low = parse_v4(text)
  if high then return { 0, 0, 0, 0, 0, 0xffff, high, low } end
  text = text:match "^%[(.*)%]$" or text
  text = text:gsub("%%.*$", "")
  if #text > 45 then return nil end
  local head, v4 = text:match "^(.*:)(%d+%.%d+%.%d+%.%d+)$"
  if head then
    high, low = parse_v4(v4)
    if not high then return nil end
    text = ("%s%x:%x"):format(head, high, low)
  end
  local before, after = text:match "^(.-)::(.*)$"
  local left, right = {}, {}
  if not groups_of(before or text, left) or not groups_of(after or "", right) then return nil end
  local missing = 8 - #left - #right
  if before and missing < 1 or not before and missing ~= 0 then return nil end
  for _ = 1, missing do left[#left + 1] = 0 end
  return table.move(right, 1, #right, #left + 1, left)
end


local function is_v4(groups)
  return groups[6] == 0xffff and groups[1] | groups[2] | groups[3] | groups[4] | groups[5] == 0
end


--- What is counted together: an IPv4 address, or the /64 of IPv6, which belongs to one customer.
---@param groups integer[]
---@return string
function address.key(groups)
  if is_v4(groups) then
    return ("%d.%d.%d.%d"):format(groups[7] >> 8, groups[7] & 255, groups[8] >> 8, groups[8] & 255)
  end
  return ("%x:%x:%x:%x::/64"):format(groups[1], groups[2], groups[3], groups[4])
end

return address
