-- What line and bar charts share: their series, the grid with its numbers, labels.
local arguments = require "web.arguments"
local drawing = require "web.drawing"
local scale = require "web.scale"

local axes = {}

--- The lists to draw: `values` alone, or `series` with names.
---@return { name: string, values: (number|false)[], color: string }[]
function axes.series(args)
  local list = {}
  if args.series == nil then
    list[1] = { name = "", values = arguments.list(args, "values"), color = args.color }
  else
    for i, one in ipairs(arguments.list(args, "series")) do
      if type(one) ~= "table" or type(one.values) ~= "table" then
        error("each of `series` has `values`, and may have `name` and `color`", 0)
      end
      if i > #drawing.PALETTE then error(("at most %d `series`"):format(#drawing.PALETTE), 0) end
      list[i] = { name = tostring(one.name or ""), values = one.values, color = one.color }
    end
  end
  for i, one in ipairs(list) do
    one.values, one.color = scale.clean(one.values), drawing.color(one.color, drawing.PALETTE[i])
  end
  return list
end


--- Title and legend above, grid and numbers at the left; returns the area that is left.
function axes.draw(frame, series, range, unit)
  local top = 12
  if frame.title ~= "" then
    drawing.text(frame, 12, 22, frame.title, { size = 13, bold = true, color = frame.theme.text })
    top = 34
  end
  local right = frame.width - 12
  for i = #series, 1, -1 do
    local name = drawing.cut(series[i].name)
    if name ~= "" then
      drawing.text(frame, right, 21, name, { anchor = "end" })
      right = right - 6.6 * utf8.len(name) - 8
      drawing.add(frame, '<circle cx="%s" cy="17" r="4" fill="%s"/>', scale.px(right),
        series[i].color)
      right, top = right - 12, 34
    end
  end
  local wide = 0
  local labels = {}
  for i, tick in ipairs(range.ticks) do
    labels[i] = scale.label(tick, range.step) .. unit
    wide = math.max(wide, utf8.len(labels[i]) or 0)
  end
  local area = {
    left = 18 + 6.6 * wide, top = top, right = frame.width - 14, bottom = frame.height - 26,
  }
  area.height, area.width = math.max(1, area.bottom - top), math.max(1, area.right - area.left)
  function area.y(v)
    local share = (v - range.low) / (range.high - range.low)
    return area.bottom - math.max(0, math.min(1, share)) * area.height
  end
  for i, tick in ipairs(range.ticks) do
    local y = scale.px(area.y(tick))
    drawing.add(frame, '<path d="M%s %sH%s" stroke="%s"%s/>', scale.px(area.left), y,
      scale.px(area.right), frame.theme.grid, tick == 0 and "" or ' stroke-dasharray="2 3"')
    drawing.text(frame, area.left - 6, area.y(tick) + 4, labels[i], { anchor = "end" })
  end
  local low = scale.extent { series[1].values }
  if not low and #series == 1 then
    drawing.text(frame, area.left + area.width / 2, area.top + area.height / 2 + 4, "no values",
      { anchor = "middle", size = 12 })
  end
  return area
end


--- Labels below, as many as there is room for.
function axes.labels(frame, area, labels, place)
  local longest = 1
  for _, label in ipairs(labels) do
    longest = math.max(longest, math.min(100, utf8.len(tostring(label)) or 1))
  end
  local room = math.max(1, math.floor(area.width / (longest * 6.6 + 14)))
  local every = math.max(1, math.ceil(#labels / room))
  for i = 1, #labels, every do
    drawing.text(frame, place(i), frame.height - 8, tostring(labels[i]), { anchor = "middle" })
  end
end

return axes
