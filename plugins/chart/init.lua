-- Charts as template functions: {{ chart_line(values=history, title="Viewers") }}. Each gives an
-- <svg> that is a picture by itself or a part of a larger one. Whatever the values are (NaN,
-- infinite, none), the picture is valid and its size bounded.
local arguments = require "web.arguments"
local axes = require "plugins.chart.axes"
local drawing = require "web.drawing"
local scale = require "web.scale"

local px = scale.px


-- Runs of values without a gap, as path data; a single value is a dot's width long.
local function runs(values, x, y)
  local lines, points, from = {}, {}, nil
  local function close(last)
    if #points == 0 then return end
    if #points == 1 then points[2] = px(x(from) + 0.1) .. " " .. px(y(values[from])) end
    lines[#lines + 1] = { d = "M" .. table.concat(points, "L"), first = x(from), last = x(last) }
    points, from = {}, nil
  end
  for i, v in ipairs(values) do
    if v then
      from = from or i
      points[#points + 1] = px(x(i)) .. " " .. px(y(v))
    else
      close(i - 1)
    end
  end
  close(#values)
  return lines
end


local function draw_line(frame, one, x, y, base, width, filled)
  local last
  for i = #one.values, 1, -1 do
    if one.values[i] then last = i break end
  end
  for _, run in ipairs(runs(one.values, x, y)) do
    if filled then
      drawing.add(frame, '<path d="%sL%s %sL%s %sZ" fill="%s" fill-opacity=".13"/>', run.d,
        px(run.last), px(base), px(run.first), px(base), one.color)
    end
    drawing.add(frame, '<path d="%s" fill="none" stroke="%s" stroke-width="%s" '
      .. 'stroke-linejoin="round" stroke-linecap="round"/>', run.d, one.color, px(width))
  end
  if last then
    drawing.add(frame, '<circle cx="%s" cy="%s" r="%s" fill="%s"/>', px(x(last)),
      px(y(one.values[last])), px(width * 1.6), one.color)
  end
end


local function summary(series)
  local low, high = scale.extent { series[1].values }
  if not low then return "no values" end
  return ("%s to %s"):format(scale.label(low), scale.label(high))
end


local function values_of(series)
  local lists = {}
  for i, one in ipairs(series) do lists[i] = one.values end
  return lists
end


local function line(args)
  local frame, series = drawing.frame(args, 640, 240), axes.series(args)
  local low, high = scale.extent(values_of(series))
  local range = scale.nice(low, high, math.max(2, frame.height // 56), args)
  local area = axes.draw(frame, series, range, arguments.string(args, "unit", ""))
  for _, one in ipairs(series) do
    local step = area.width / math.max(1, #one.values - 1)
    local function x(i) return #one.values == 1 and area.right or area.left + (i - 1) * step end
    draw_line(frame, one, x, area.y, area.y(math.max(range.low, math.min(range.high, 0))), 2.2,
      #series == 1)
  end
  local labels = arguments.list(args, "labels", {})
  axes.labels(frame, area, labels, function(i)
    return area.left + (i - 1) * area.width / math.max(1, #labels - 1)
  end)
  return drawing.finish(frame, summary(series))
end


-- A bar whose far end is rounded, on whichever side of the base it is.
local function bar_path(x, width, base, top)
  local r = math.min(4, width / 2, math.abs(top - base))
  local down = top > base and -1 or 1
  return ("M%s %sV%sQ%s %s %s %sH%sQ%s %s %s %sV%sZ"):format(px(x), px(base), px(top + down * r),
    px(x), px(top), px(x + r), px(top), px(x + width - r), px(x + width), px(top), px(x + width),
    px(top + down * r), px(base))
end


local function bar(args)
  local frame, series = drawing.frame(args, 640, 240), axes.series(args)
  local low, high = scale.extent(values_of(series))
  local range = scale.nice(math.min(low or 0, 0), math.max(high or 1, 0),
    math.max(2, frame.height // 56), args)
  local area = axes.draw(frame, series, range, arguments.string(args, "unit", ""))
  local groups = 0
  for _, one in ipairs(series) do groups = math.max(groups, #one.values) end
  local slot = area.width / math.max(1, groups)
  local gap = math.min(slot * 0.3, 24)
  local width = (slot - gap) / #series
  local base = area.y(math.max(range.low, math.min(range.high, 0)))
  for n, one in ipairs(series) do
    for i, v in ipairs(one.values) do
      local x = area.left + (i - 1) * slot + gap / 2 + (n - 1) * width
      if v then
        drawing.add(frame, '<path d="%s" fill="%s"/>',
          bar_path(x, math.max(0.5, width - (#series > 1 and 1 or 0)), base, area.y(v)), one.color)
      end
      if v and #series == 1 and width >= 30 then
        local above = v >= 0 and -5 or 13
        drawing.text(frame, x + width / 2, area.y(v) + above, scale.label(v),
          { anchor = "middle", color = frame.theme.text })
      end
    end
  end
  local labels = arguments.list(args, "labels", {})
  axes.labels(frame, area, labels, function(i) return area.left + (i - 0.5) * slot end)
  return drawing.finish(frame, summary(series))
end


local function arc(cx, cy, r, from, to)
  local function at(share)
    local angle = math.rad(150 + 240 * share)
    return px(cx + r * math.cos(angle)) .. " " .. px(cy + r * math.sin(angle))
  end
  return ("M%sA%s %s 0 %d 1 %s"):format(at(from), px(r), px(r), (to - from) * 240 > 180 and 1 or 0,
    at(to))
end


local function gauge(args)
  local frame = drawing.frame(args, 200, 170)
  local value = scale.clean { args.value or "" }[1]
  local low, high = arguments.number(args, "min", 0), arguments.number(args, "max", 100)
  local ends = scale.clean { low, high }
  low, high = ends[1] or 0, ends[2] or 100
  if high <= low then error("`max` must be more than `min`", 0) end
  local share = value and math.max(0, math.min(1, (value - low) / (high - low))) or 0
  local warn = scale.clean { args.warn or "", args.bad or "" }
  local color = value and warn[2] and value >= warn[2] and "#cf222e"
    or value and warn[1] and value >= warn[1] and "#bf8700"
    or drawing.color(args.color, (warn[1] or warn[2]) and "#12a150" or drawing.PALETTE[1])
  local title = frame.title ~= "" and 24 or 4
  local r = math.max(4, math.min(frame.width / 2 - 14, (frame.height - title - 14) / 1.55))
  local cx, cy, thick = frame.width / 2, r + 14, math.max(2, r * 0.2)
  local path = '<path d="%s" fill="none" stroke="%s" stroke-width="%s" stroke-linecap="round"/>'
  drawing.add(frame, path, arc(cx, cy, r - thick / 2, 0, 1), frame.theme.track, px(thick))
  if share > 0 then
    drawing.add(frame, path, arc(cx, cy, r - thick / 2, 0, share), color, px(thick))
  end
  local shown = value and scale.label(value) or "–"
  drawing.text(frame, cx, cy + r * 0.16, shown .. arguments.string(args, "unit", ""),
    { size = math.floor(math.max(8, r * 0.42)), anchor = "middle", bold = true,
      color = frame.theme.text })
  drawing.text(frame, cx, frame.height - 9, frame.title, { size = 12, anchor = "middle" })
  return drawing.finish(frame, shown)
end


local function sparkline(args)
  local frame, series = drawing.frame(args, 120, 28), axes.series(args)
  local one = series[1]
  local low, high = scale.extent { one.values }
  local fixed = scale.clean { args.min or "", args.max or "" }
  low, high = fixed[1] or low or 0, fixed[2] or high or 1
  if high <= low then low, high = low - 1, low + 1 end
  local left, right, step = 2, frame.width - 4, (frame.width - 6) / math.max(1, #one.values - 1)
  local function x(i) return #one.values == 1 and right or left + (i - 1) * step end
  local function y(v)
    local share = math.max(0, math.min(1, (v - low) / (high - low)))
    return frame.height - 4 - share * (frame.height - 8)
  end
  draw_line(frame, one, x, y, frame.height, 1.6, true)
  return drawing.finish(frame, summary(series))
end


local charts = { line = line, bar = bar, gauge = gauge, sparkline = sparkline }

return {
  name = "chart",
  version = "1.0",
  summary = "charts as template functions",
  setup = function(plugin)
    for name, draw in pairs(charts) do
      plugin:template_function("chart_" .. name, { safe = true, call = draw })
    end
    return charts
  end,
}
