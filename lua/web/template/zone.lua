-- Time zones from the system's database: TZif files (RFC 8536), the 64-bit block and the rule at
-- the end for what lies after the last transition. Zones are kept once read; the database has some
-- 600 names, so the table is bounded by it.
local civil = require "web.template.civil"
local host_zone = require "host.zone"

local zone = {}

local unpack = string.unpack

---@class TimeZone
---@field times integer[]    transitions, UTC
---@field kinds integer[]    the kind from that transition on
---@field offsets integer[]  seconds east of UTC, by kind
---@field names string[]     abbreviation, by kind
---@field first integer      the kind before the first transition
---@field rule table?        what repeats after the last one

-- POSIX rules: "CET-1CEST,M3.5.0,M10.5.0/3" -----------------------------------------------------

local function read_name(text)
  local quoted, rest = text:match "^<([-+%w]+)>(.*)$"
  if quoted then return quoted, rest end
  return text:match "^(%a+)(.*)$"
end

local function read_time(text)
  local sign, hours, rest = text:match "^([-+]?)(%d+)(.*)$"
  if not hours then return nil, text end
  local seconds = tonumber(hours) * 3600
  for _, unit in ipairs { 60, 1 } do
    local digits, after = rest:match "^:(%d+)(.*)$"
    if not digits then break end
    seconds, rest = seconds + tonumber(digits) * unit, after
  end
  return sign == "-" and -seconds or seconds, rest
end

local function read_day(text)
  local month, week, weekday, rest = text:match "^,M(%d+)%.(%d)%.(%d)(.*)$"
  local day
  if month then
    day = { month = tonumber(month), week = tonumber(week), weekday = tonumber(weekday) }
  else
    local kind, number
    kind, number, rest = text:match "^,(J?)(%d+)(.*)$"
    if not number then return nil end
    day = { julian = kind == "J", number = tonumber(number) }
  end
  day.time = 7200
  local time, after = rest:match "^/([-+]?[%d:]+)(.*)$"
  if time then day.time, rest = read_time(time), after end
  return day, rest
end

local function read_rule(text)
  local rule = {}
  local rest, offset
  rule.name, rest = read_name(text)
  if not rule.name then return nil end
  offset, rest = read_time(rest)
  if not offset then return nil end
  rule.offset = -offset
  if rest == "" then return rule end
  rule.summer_name, rest = read_name(rest)
  if not rule.summer_name then return nil end
  offset, rest = read_time(rest)
  rule.summer_offset = offset and -offset or rule.offset + 3600
  rule.from, rest = read_day(rest)
  rule.to = rule.from and read_day(rest)
  return rule.to and rule or nil
end

-- The day of a rule in a year, as days since 1970.
local function rule_day(day, year)
  local january = civil.days(year, 1, 1)
  if day.number then
    local leap = civil.valid(year, 2, 29)
    if day.julian then return january + day.number - 1 + (leap and day.number >= 60 and 1 or 0) end
    return january + day.number
  end
  local first = civil.days(year, day.month, 1)
  local found = first + (day.weekday - civil.weekday(first)) % 7 + (day.week - 1) * 7
  while day.week == 5 and not civil.valid(year, day.month, found - first + 1) do
    found = found - 7
  end
  return found
end

local function by_rule(rule, seconds)
  if not rule.summer_name then return rule.offset, rule.name end
  local year = civil.date((seconds + rule.offset) // 86400)
  local from = rule_day(rule.from, year) * 86400 + rule.from.time - rule.offset
  local to = rule_day(rule.to, year) * 86400 + rule.to.time - rule.summer_offset
  local summer
  if from < to then
    summer = seconds >= from and seconds < to
  else
    summer = seconds >= from or seconds < to
  end
  if summer then return rule.summer_offset, rule.summer_name end
  return rule.offset, rule.name
end

-- TZif ------------------------------------------------------------------------------------------

local HEADER_BYTES <const> = 44

local function header(data, at)
  local magic, version, isut, isstd, leap, times, kinds, chars = unpack(">c4c1I4I4I4I4I4I4",
    data:sub(at, at + 4) .. data:sub(at + 20, at + 43))
  if magic ~= "TZif" then return nil end
  return { version = version, isut = isut, isstd = isstd, leap = leap, times = times, kinds = kinds,
    chars = chars }
end

local function block_bytes(h, width)
  return h.times * (width + 1) + h.kinds * 6 + h.chars + h.leap * (width + 4) + h.isstd + h.isut
end

local function parse(data)
  local h = header(data, 1)
  if not h or h.version == "\0" then return nil end
  local at = 1 + HEADER_BYTES + block_bytes(h, 4)
  h = header(data, at)
  if not h then return nil end
  at = at + HEADER_BYTES
  local footer = data:match("^\n([^\n]*)\n", at + block_bytes(h, 8))
  local z = { times = {}, kinds = {}, offsets = {}, names = {}, first = 1 }
  for i = 1, h.times do z.times[i] = unpack(">i8", data, at + (i - 1) * 8) end
  at = at + h.times * 8
  for i = 1, h.times do z.kinds[i] = data:byte(at + i - 1) + 1 end
  at = at + h.times
  local names_at = at + h.kinds * 6
  for i = 1, h.kinds do
    local offset, _, name = unpack(">i4BB", data, at + (i - 1) * 6)
    z.offsets[i] = offset
    z.names[i] = unpack("z", data, names_at + name)
  end
  z.rule = footer and footer ~= "" and read_rule(footer) or nil
  return z
end

--- The offset from UTC, and its abbreviation, at a moment.
---@param z TimeZone
---@param seconds integer  Unix time
---@return integer offset, string name
function zone.offset(z, seconds)
  local times = z.times
  local n = #times
  if z.rule and (n == 0 or seconds >= times[n]) then return by_rule(z.rule, seconds) end
  local low, high = 1, n + 1
  while low < high do
    local middle = (low + high) // 2
    if times[middle] <= seconds then low = middle + 1 else high = middle end
  end
  local kind = low == 1 and z.first or z.kinds[low - 1]
  return z.offsets[kind], z.names[kind]
end

local UTC <const> = { times = {}, kinds = {}, offsets = { 0 }, names = { "UTC" }, first = 1 }
local known = { UTC = UTC }

--- A zone by its IANA name; without one, the system's.
---@param name? string
---@return TimeZone|nil
function zone.find(name)
  local key = name or ""
  if known[key] then return known[key] end
  local data = host_zone.read(name)
  local ok, z = false, nil
  if data then ok, z = pcall(parse, data) end
  if not ok or not z then
    if name then return nil end
    z = UTC
  end
  known[key] = z
  return z
end

return zone
