-- Pieces of SVG for charts and the like: a frame, texts, colours. Everything of a caller is
-- escaped, numbers have one decimal, sizes are bounded.
local arguments = require "web.arguments"
local escape = require "web.escape"
local scale = require "web.scale"

local drawing = {}

local THEMES = {
  light = { text = "#1f2328", faint = "#656d76", grid = "#d8dee4", track = "#e6eaef" },
  dark = { text = "#e6edf3", faint = "#8d96a0", grid = "#30363d", track = "#2b323b" },
}
drawing.PALETTE = {
  "#2f6fed", "#12a150", "#d4721c", "#8250df", "#bf3989", "#1b7c83", "#cf222e", "#6e7781",
}
local FONT <const> = "system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif"
local TEXT_MAX <const> = 100 -- characters


--- Width, height, theme and place of a picture, from a template function's arguments.
function drawing.frame(args, width, height)
  local theme = THEMES[arguments.string(args, "theme", "light")]
  if not theme then error('`theme` is "light" or "dark"', 0) end
  return {
    width = arguments.integer(args, "width", 20, 4000, width),
    height = arguments.integer(args, "height", 10, 4000, height),
    x = arguments.number(args, "x", 0), y = arguments.number(args, "y", 0),
    theme = theme, title = arguments.string(args, "title", ""), parts = {},
  }
end


--- A colour: #rgb, #rrggbb or a name in letters.
function drawing.color(value, missing)
  if value == nil then return missing end
  if type(value) == "string"
    and (value:find "^#%x%x%x$" or value:find "^#%x%x%x%x%x%x$" or value:find "^%a+$") then
    return value
  end
  error("a colour is written #rgb, #rrggbb or as a name", 0)
end


--- A text of at most 100 characters.
function drawing.cut(text)
  local stop = utf8.offset(text, TEXT_MAX + 1)
  return stop and text:sub(1, stop - 1) or text
end


--- Adds a text; an empty one is left out.
---@param frame table
---@param x number
---@param y number
---@param content string
---@param options? { size?: integer, anchor?: string, bold?: boolean, color?: string }
function drawing.text(frame, x, y, content, options)
  if content == "" then return end
  options = options or {}
  local parts = frame.parts
  parts[#parts + 1] = ('<text x="%s" y="%s" font-size="%d"%s%s fill="%s">%s</text>'):format(
    scale.px(x), scale.px(y), options.size or 11,
    options.anchor and (' text-anchor="%s"'):format(options.anchor) or "",
    options.bold and ' font-weight="600"' or "",
    options.color or frame.theme.faint, escape(drawing.cut(content)))
end


--- Adds markup, formatted with what follows.
---@param frame table
---@param markup string
---@param ... any
function drawing.add(frame, markup, ...)
  frame.parts[#frame.parts + 1] = select("#", ...) > 0 and markup:format(...) or markup
end


--- The whole picture; it may stand alone or inside another one.
function drawing.finish(frame, about)
  local name = escape(drawing.cut(frame.title ~= "" and frame.title .. ": " .. about or about))
  return ('<svg xmlns="http://www.w3.org/2000/svg" x="%s" y="%s" width="%d" height="%d" '
    .. 'viewBox="0 0 %d %d" role="img" aria-label="%s" font-family="%s">%s</svg>'):format(
    scale.px(frame.x), scale.px(frame.y), frame.width, frame.height, frame.width, frame.height,
    name, FONT, table.concat(frame.parts))
end

return drawing
