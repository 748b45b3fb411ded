-- Numbers as text. Two forms: the one templates print (positional, never an exponent, no trailing
-- ".0") and JSON's (a float always shows that it is one). Both use the fewest digits that read back
-- as the same float.
local number = {}

local mtype, format, tonumber, rep = math.type, string.format, tonumber, string.rep

local SMALLEST_NORMAL <const> = 2.2250738585072014e-308

-- The shortest digits d1d2d3... and the exponent e of 0.d1d2d3... * 10^e, of a positive float.
local function shortest(x)
  local text
  for precision = x < SMALLEST_NORMAL and 0 or 14, 16 do
    text = format("%." .. precision .. "e", x)
    if tonumber(text) == x then break end
  end
  local lead, rest, exponent = text:match "^(%d)%.?(%d*)e([-+]%d+)$"
  local digits = (lead .. rest):gsub("0+$", "")
  return digits, tonumber(exponent) + 1
end

local function positional(digits, exponent)
  local n = #digits
  if exponent <= 0 then return "0." .. rep("0", -exponent) .. digits end
  if exponent >= n then return digits .. rep("0", exponent - n) end
  return digits:sub(1, exponent) .. "." .. digits:sub(exponent + 1)
end

local function special(x)
  if x ~= x then return "NaN" end
  if x == math.huge then return "inf" end
  if x == -math.huge then return "-inf" end
end

--- As `{{ x }}` prints it.
---@param x number
---@return string
function number.text(x)
  if mtype(x) == "integer" then return format("%d", x) end
  if x == 0 then return 1 / x < 0 and "-0" or "0" end
  local odd = special(x)
  if odd then return odd end
  if x % 1 == 0 and x > -1e15 and x < 1e15 then return format("%d", x) end
  if x < 0 then return "-" .. positional(shortest(-x)) end
  return positional(shortest(x))
end

--- As JSON has it: 1.0, 1e21, 1.5e-7. NaN and the infinities, which JSON lacks, are null.
---@param x number
---@return string
function number.json(x)
  if mtype(x) == "integer" then return format("%d", x) end
  if special(x) then return "null" end
  if x == 0 then return 1 / x < 0 and "-0.0" or "0.0" end
  local sign = ""
  if x < 0 then sign, x = "-", -x end
  local digits, exponent = shortest(x)
  if exponent > -5 and exponent <= 16 then
    local text = positional(digits, exponent)
    if exponent >= #digits then text = text .. ".0" end
    return sign .. text
  end
  local head, tail = digits:sub(1, 1), digits:sub(2)
  if tail ~= "" then head = head .. "." .. tail end
  return sign .. head .. "e" .. format("%d", exponent - 1)
end

return number
