-- The `date` filter: input, time zone, format. The letters are those of strftime as Rust's chrono
-- has them; an unknown one is an error, never text.
local civil = require "web.template.civil"
local fail = require "web.template.fail"
local value = require "web.template.value"
local zone = require "web.template.zone"

local dates = {}

local LABEL <const> = "filter 'date'"
-- Years -262143 to 262142, chrono's.
local MOST_SECONDS <const> = 8210266876799
local MOST_FORMAT_BYTES <const> = 1000

local mtype, format = math.type, string.format

local days_of_week = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday",
  "Saturday" }
local months = { "January", "February", "March", "April", "May", "June", "July", "August",
  "September", "October", "November", "December" }

-- Moments --------------------------------------------------------------------------------------

---@class Moment
---@field seconds integer      Unix time
---@field nanoseconds integer
---@field offset integer       seconds east of UTC
---@field name string?         of the offset

local function moment(seconds, nanoseconds, offset, name)
  if seconds > MOST_SECONDS or seconds < -MOST_SECONDS then
    fail.raise(("%s: %d is out of the range of dates"):format(LABEL, seconds))
  end
  local m = { seconds = seconds, nanoseconds = nanoseconds, offset = offset, name = name }
  local here = seconds + offset
  m.days = here // 86400
  m.second = here % 86400
  m.year, m.month, m.day = civil.date(m.days)
  m.weekday = civil.weekday(m.days)
  m.hour, m.minute = m.second // 3600, m.second // 60 % 60
  m.second = m.second % 60
  return m
end

local function in_zone(seconds, nanoseconds, z)
  local offset, name = zone.offset(z, seconds)
  return moment(seconds, nanoseconds, offset, name)
end

-- Input ----------------------------------------------------------------------------------------

local function unreadable(v, expected)
  fail.raise(("%s: %s is not a date; expected %s"):format(LABEL, value.describe(v), expected))
end

local function date_days(year, month, day)
  year, month, day = math.tointeger(year), math.tointeger(month), math.tointeger(day)
  if not year or not civil.valid(year, month, day) then return nil end
  return civil.days(year, month, day)
end

local function fraction(text)
  if text == "" then return 0 end
  local digits = text:match "^%.(%d+)$"
  return digits and math.tointeger((digits .. "000000000"):sub(1, 9))
end

-- Seconds east of UTC, and what follows nothing; nil: not an offset.
local function offset_of(text)
  if text == "Z" or text == "z" then return 0 end
  local sign, hours, minutes = text:match "^([-+])(%d%d):?(%d%d)$"
  if not sign or tonumber(minutes) > 59 then return nil end
  local seconds = tonumber(hours) * 3600 + tonumber(minutes) * 60
  if seconds >= 86400 then return nil end
  return math.tointeger(sign == "-" and -seconds or seconds)
end

local TIME <const> = "^([-+]?%d+)%-(%d%d?)%-(%d%d?)T(%d%d?):(%d%d?):(%d%d?)(%.?%d*)%s*(.*)$"

local function parse_time(v, z)
  local year, month, day, hour, minute, second, rest, tail = v:match(TIME)
  local days = year and #year < 8 and date_days(year, month, day)
  local nanoseconds = days and fraction(rest)
  local expected = "an RFC 3339 time like \"2026-03-01T12:00:00+01:00\""
  if not nanoseconds then unreadable(v, expected) end
  hour, minute, second = math.tointeger(hour), math.tointeger(minute), math.tointeger(second)
  if hour > 23 or minute > 59 or second > 59 then unreadable(v, expected) end
  local seconds = days * 86400 + hour * 3600 + minute * 60 + second
  if tail == "" then return moment(seconds, nanoseconds, 0, "UTC") end
  local offset = offset_of(tail)
  if not offset then unreadable(v, expected) end
  seconds = seconds - offset
  if z then return in_zone(seconds, nanoseconds, z) end
  return moment(seconds, nanoseconds, offset)
end

local function parse(v, z)
  if mtype(v) == "integer" then
    if z then return in_zone(v, 0, z) end
    return moment(v, 0, 0, "UTC")
  end
  if type(v) ~= "string" then
    fail.kind(LABEL, "the value", v, "an integer (Unix time) or a string")
  end
  if #v > 100 then unreadable(v, "a date or time") end
  if v:find("T", 1, true) then return parse_time(v, z) end
  local year, month, day = v:match "^([-+]?%d+)%-(%d%d?)%-(%d%d?)$"
  local days = year and #year < 8 and date_days(year, month, day)
  if not days then unreadable(v, "\"YYYY-MM-DD\"") end
  return moment(days * 86400, 0, 0, "UTC")
end

-- Format ---------------------------------------------------------------------------------------

local function offset_text(m, colons)
  local sign = m.offset < 0 and "-" or "+"
  local s = math.abs(m.offset)
  if colons == 3 then return format("%s%02d", sign, s // 3600) end
  if colons == 2 then return format("%s%02d:%02d:%02d", sign, s // 3600, s // 60 % 60, s % 60) end
  return format(colons == 1 and "%s%02d:%02d" or "%s%02d%02d", sign, s // 3600, s // 60 % 60)
end

local function dotted_fraction(m)
  local n = m.nanoseconds
  if n == 0 then return "" end
  if n % 1000000 == 0 then return format(".%03d", n // 1000000) end
  if n % 1000 == 0 then return format(".%06d", n // 1000) end
  return format(".%09d", n)
end

local function iso_year(m) return (civil.iso_week(m.days)) end
local function iso_week(m) return (select(2, civil.iso_week(m.days))) end
local function day_of_year(m) return m.days - civil.days(m.year, 1, 1) + 1 end
local function twelve(m) return (m.hour + 11) % 12 + 1 end

-- Numbers: the value, the width, the padding.
local numeric = {
  Y = { function(m) return m.year end, 4, "0" },
  C = { function(m) return m.year // 100 end, 2, "0" },
  y = { function(m) return m.year % 100 end, 2, "0" },
  m = { function(m) return m.month end, 2, "0" },
  d = { function(m) return m.day end, 2, "0" },
  e = { function(m) return m.day end, 2, " " },
  w = { function(m) return m.weekday end, 1, "0" },
  u = { function(m) return (m.weekday + 6) % 7 + 1 end, 1, "0" },
  U = { function(m) return (day_of_year(m) + 6 - m.weekday) // 7 end, 2, "0" },
  W = { function(m) return (day_of_year(m) + 6 - (m.weekday + 6) % 7) // 7 end, 2, "0" },
  G = { iso_year, 4, "0" },
  g = { function(m) return iso_year(m) % 100 end, 2, "0" },
  V = { iso_week, 2, "0" },
  j = { day_of_year, 3, "0" },
  q = { function(m) return (m.month + 2) // 3 end, 1, "0" },
  H = { function(m) return m.hour end, 2, "0" },
  k = { function(m) return m.hour end, 2, " " },
  I = { twelve, 2, "0" },
  l = { twelve, 2, " " },
  M = { function(m) return m.minute end, 2, "0" },
  S = { function(m) return m.second end, 2, "0" },
  f = { function(m) return m.nanoseconds end, 9, "0" },
  s = { function(m) return m.seconds end, 1, "0" },
}

local fixed = {
  b = function(m) return months[m.month]:sub(1, 3) end,
  B = function(m) return months[m.month] end,
  a = function(m) return days_of_week[m.weekday + 1]:sub(1, 3) end,
  A = function(m) return days_of_week[m.weekday + 1] end,
  P = function(m) return m.hour < 12 and "am" or "pm" end,
  p = function(m) return m.hour < 12 and "AM" or "PM" end,
  Z = function(m) return m.name or offset_text(m, 1) end,
  z = function(m) return offset_text(m, 0) end,
  [":z"] = function(m) return offset_text(m, 1) end,
  ["::z"] = function(m) return offset_text(m, 2) end,
  [":::z"] = function(m) return offset_text(m, 3) end,
  [".f"] = dotted_fraction,
  [".3f"] = function(m) return format(".%03d", m.nanoseconds // 1000000) end,
  [".6f"] = function(m) return format(".%06d", m.nanoseconds // 1000) end,
  [".9f"] = function(m) return format(".%09d", m.nanoseconds) end,
  ["3f"] = function(m) return format("%03d", m.nanoseconds // 1000000) end,
  ["6f"] = function(m) return format("%06d", m.nanoseconds // 1000) end,
  ["9f"] = function(m) return format("%09d", m.nanoseconds) end,
  t = function() return "\t" end,
  n = function() return "\n" end,
  ["%"] = function() return "%" end,
}
fixed.h = fixed.b

local composite = {
  D = "%m/%d/%y", x = "%m/%d/%y", F = "%Y-%m-%d", v = "%e-%b-%Y", R = "%H:%M", T = "%H:%M:%S",
  X = "%H:%M:%S", r = "%I:%M:%S %p", c = "%a %b %e %T %Y", ["+"] = "%Y-%m-%dT%H:%M:%S%.f%:z",
}

local padding = { ["-"] = "", ["_"] = " ", ["0"] = "0" }

local function pad(n, width, with)
  local sign = n < 0 and "-" or ""
  local digits = format("%d", math.abs(n))
  -- A year beyond four digits shows its sign.
  if width == 4 and n > 9999 then sign = "+" end
  local missing = width - #digits
  if with == "" or missing <= 0 then return sign .. digits end
  if with == " " then return (" "):rep(missing - #sign) .. sign .. digits end
  return sign .. with:rep(missing) .. digits
end

local render

-- The item after a `%` at `at`: its text, and where the next begins.
local function item(m, text, at)
  local override, letter = text:match("^([-_0])(%a)", at)
  if override then
    local number = numeric[letter]
    if not number then return nil end
    return pad(number[1](m), number[2], padding[override]), at + 2
  end
  for _, pattern in ipairs { "^:+z", "^%.[369]?f", "^[369]f", "^." } do
    local key = text:match(pattern, at)
    if key then
      local number = numeric[key]
      if number then return pad(number[1](m), number[2], number[3]), at + #key end
      if fixed[key] then return fixed[key](m), at + #key end
      if composite[key] then return render(m, composite[key]), at + #key end
    end
  end
end

function render(m, text)
  local pieces, at = {}, 1
  while true do
    local percent = text:find("%", at, true)
    if not percent then break end
    pieces[#pieces + 1] = text:sub(at, percent - 1)
    local piece, after = item(m, text, percent + 1)
    if not piece then
      fail.raise(("%s: '%s' is no letter of a format"):format(LABEL,
        text:match("^%%[-_0:.369]*[%z\1-\127\194-\244]?[\128-\191]*", percent)))
    end
    pieces[#pieces + 1], at = piece, after
  end
  pieces[#pieces + 1] = text:sub(at)
  return table.concat(pieces)
end

--- The filter.
function dates.filter(v, args)
  local text = fail.string(LABEL, args, "format", "%Y-%m-%d")
  if #text > MOST_FORMAT_BYTES then
    fail.raise(("%s: a format has at most %d bytes"):format(LABEL, MOST_FORMAT_BYTES))
  end
  local z
  if args.timezone ~= nil then
    local name = fail.string(LABEL, args, "timezone")
    z = zone.find(name)
    if not z then fail.raise(("%s: no time zone '%s'"):format(LABEL, name:sub(1, 80))) end
  end
  return render(parse(v, z), text)
end

--- A moment as Unix seconds: what `date` takes, and floats.
---@param v number|string
---@return number
function dates.seconds(v)
  if mtype(v) == "float" and v == v then return v end
  local m = parse(v)
  return m.seconds + m.nanoseconds / 1e9
end

--- RFC 3339, in UTC or in the system's zone.
---@param seconds integer
---@param nanoseconds integer
---@param here boolean
---@return string
function dates.rfc3339(seconds, nanoseconds, here)
  local m = here and in_zone(seconds, nanoseconds, zone.find()) or moment(seconds, nanoseconds, 0)
  return render(m, "%+")
end

return dates
