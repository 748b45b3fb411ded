-- Dates as HTTP writes them: "Sun, 06 Nov 1994 08:49:37 GMT".
local httpdate = {}

local MONTHS = {
  Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10,
  Nov = 11, Dec = 12,
}


---@param seconds number unix time
---@return string
function httpdate.format(seconds)
  return os.date("!%a, %d %b %Y %H:%M:%S GMT", math.floor(seconds))
end


-- Days since 1970-01-01 in the Gregorian calendar; a year begins in March, so that a leap day is
-- its last one.
local function days(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local year_of_era = year - era * 400
  local day_of_year = (153 * (month + (month > 2 and -3 or 9)) + 2) // 5 + day - 1
  return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    - 719468
end


--- Unix time of such a date; nil when it is none.
---@param text string|nil
---@return integer|nil
function httpdate.parse(text)
  if not text then return nil end
  local day, name, year, hour, minute, second =
    text:match "^%a%a%a, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$"
  local month = MONTHS[name]
  if not month then return nil end
  local at = days(tonumber(year), month, tonumber(day)) * 86400
  return math.tointeger(at + tonumber(hour) * 3600 + tonumber(minute) * 60 + tonumber(second))
end

return httpdate
