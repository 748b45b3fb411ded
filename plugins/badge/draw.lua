-- A badge's picture.
local cache = require "web.template.cache"
local escape = require "web.escape"
local text_width = require "filters.text_width"

local badge = {}

local NAMED = {
  green = "#2da44e", red = "#cf222e", yellow = "#bf8700", orange = "#d4721c", blue = "#2f6fed",
  purple = "#8250df", pink = "#bf3989", gray = "#6e7781", grey = "#6e7781", black = "#24292f",
}
local GOOD = {
  ok = true, up = true, passing = true, passed = true, success = true, online = true, yes = true,
  stable = true, healthy = true, ready = true,
}
local BAD = {
  down = true, failing = true, failed = true, error = true, offline = true, no = true,
  broken = true, unhealthy = true,
}
-- Without ids, so that many can stand in one picture.
local TEMPLATE <const> = [[
<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%d" viewBox="0 0 %s 20" role="img"
 aria-label="%s"><title>%s</title><rect width="%s" height="20" rx="4" fill="%s"/>%s
<g fill="#fff" font-family="Helvetica,Arial,'DejaVu Sans',sans-serif" font-size="11"
 text-anchor="middle">%s%s</g></svg>
]]
local LEFT <const> = '<path fill="%s" d="M4 0H%sV20H4a4 4 0 0 1-4-4V4a4 4 0 0 1 4-4z"/>'
local TEXT <const> = '<text x="%s" y="14" textLength="%s" lengthAdjust="spacingAndGlyphs">%s</text>'
local PADDING <const> = 7

local widths = cache.new(2000, 200000)


-- One decimal is a tenth of a pixel.
local function number(value)
  return (("%.1f"):format(value):gsub("%.0$", ""))
end


local function width_of(text)
  local width = widths:get(text)
  if not width then
    width = text_width(text, { size = 11 })
    widths:put(text, width, #text)
  end
  return width
end


local function percent(value)
  local n = tonumber(value:match "^(%d+%.?%d*)%s*%%$")
  if not n then return nil end
  return n >= 90 and NAMED.green or n >= 70 and NAMED.yellow or n >= 50 and NAMED.orange
    or NAMED.red
end


--- A badge's colour: a name, or rgb in hex digits; without one, by what the value says.
---@param given string|nil
---@param value string
---@return string|nil color
---@return string|nil message
function badge.color(given, value)
  if given == nil or given == "" then
    local word = value:lower()
    return GOOD[word] and NAMED.green or BAD[word] and NAMED.red or percent(value) or NAMED.blue
  end
  if type(given) == "string" then
    if NAMED[given:lower()] then return NAMED[given:lower()] end
    local hex = given:match "^#?(%x+)$"
    if hex and (#hex == 3 or #hex == 6) then return "#" .. hex:lower() end
  end
  return nil, "a colour is hex digits (2da44e), or one of black, blue, gray, green, orange, pink, "
    .. "purple, red, yellow"
end


local function text(content, center, width)
  if content == "" then return "" end
  return TEXT:format(number(center), number(width), escape(content))
end


--- The picture.
---@param label string may be empty
---@param value string
---@param color string
---@param config { label_color: string, height: integer }
---@return string
function badge.draw(label, value, color, config)
  local label_width, value_width = width_of(label), width_of(value)
  local left = label == "" and 0 or label_width + 2 * PADDING
  local right = value_width + 2 * PADDING
  local whole = number(left + right)
  local name = escape(label == "" and value or label .. ": " .. value)
  return TEMPLATE:format(number((left + right) * config.height / 20), config.height, whole, name,
    name, whole, color, left > 0 and LEFT:format(config.label_color, number(left)) or "",
    text(label, left / 2, label_width), text(value, left + right / 2, value_width))
end

return badge
