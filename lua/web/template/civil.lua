-- The Gregorian calendar in whole numbers: days since 1970-01-01 and dates, for any year.
local civil = {}

--- Days since 1970-01-01.
---@param year integer
---@param month integer
---@param day integer
---@return integer
function civil.days(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local of_era = year - era * 400
  local of_year = (153 * (month + (month > 2 and -3 or 9)) + 2) // 5 + day - 1
  return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
end

--- The date of a day.
---@param days integer
---@return integer year, integer month, integer day
function civil.date(days)
  days = days + 719468
  local era = days // 146097
  local of_era = days - era * 146097
  local years = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
  local of_year = of_era - (365 * years + years // 4 - years // 100)
  local mp = (5 * of_year + 2) // 153
  local month = mp < 10 and mp + 3 or mp - 9
  return years + era * 400 + (month <= 2 and 1 or 0), month, of_year - (153 * mp + 2) // 5 + 1
end

local function is_leap(year)
  return year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
end

local MONTH_DAYS <const> = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

--- Is this a date?
function civil.valid(year, month, day)
  if month < 1 or month > 12 or day < 1 then return false end
  return day <= (month == 2 and is_leap(year) and 29 or MONTH_DAYS[month])
end

--- 0 is Sunday.
function civil.weekday(days)
  return (days + 4) % 7
end

--- The ISO 8601 year and week of a day.
---@param days integer
---@return integer year, integer week
function civil.iso_week(days)
  local thursday = days - (civil.weekday(days) + 6) % 7 + 3
  local year = civil.date(thursday)
  return year, (thursday - civil.days(year, 1, 1)) // 7 + 1
end

return civil
