-- {{ 0.5 | color }}: a colour for a number. `min` and `max` are the ends of the scale, `ramp` a
-- name, or `stops` a list of colours of one's own: [ "#fff", "#c00" ].
local arguments = require "web.arguments"

local MOST_STOPS <const> = 32

local ramps = {
  traffic = { "#2da44e", "#d4a72c", "#cf222e" },
  heat = { "#ffffcc", "#feb24c", "#f03b20", "#7f0000" },
  cold = { "#f7fbff", "#6baed6", "#08306b" },
  viridis = { "#440154", "#3b528b", "#21918c", "#5ec962", "#fde725" },
  gray = { "#ffffff", "#000000" },
}

local function channels(color)
  local hex = type(color) == "string" and color:match "^#(%x+)$"
  if hex and #hex == 3 then hex = hex:gsub("%x", "%0%0") end
  if not hex or #hex ~= 6 then error("a colour is written #rgb or #rrggbb", 0) end
  return tonumber(hex:sub(1, 2), 16), tonumber(hex:sub(3, 4), 16), tonumber(hex:sub(5, 6), 16)
end

local function between(a, b, share)
  return math.floor(a + (b - a) * share + 0.5)
end

local function stops_of(args)
  if args.stops then
    local stops = arguments.list(args, "stops")
    if #stops < 2 or #stops > MOST_STOPS then
      error(("`stops` are 2 to %d colours"):format(MOST_STOPS), 0)
    end
    return stops
  end
  local name = arguments.string(args, "ramp", "traffic")
  if not ramps[name] then
    error(("no ramp '%s'; there are cold, gray, heat, traffic, viridis"):format(name:sub(1, 40)), 0)
  end
  return ramps[name]
end

---@param value number
---@param args { min: number?, max: number?, ramp: string?, stops: string[]? }
---@return string
return function(value, args)
  local x = arguments.number_value(value)
  local low, high = arguments.number(args, "min", 0), arguments.number(args, "max", 1)
  if low == high then error("`min` and `max` are the same", 0) end
  local stops = stops_of(args)
  local place = math.max(0, math.min(1, (x - low) / (high - low))) * (#stops - 1)
  local i = math.min(math.floor(place), #stops - 2)
  local r1, g1, b1 = channels(stops[i + 1])
  local r2, g2, b2 = channels(stops[i + 2])
  local share = place - i
  return ("#%02x%02x%02x"):format(between(r1, r2, share), between(g1, g2, share),
    between(b1, b2, share))
end
