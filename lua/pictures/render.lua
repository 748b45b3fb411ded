-- From a stranger's template and arguments to a picture. Everything that can go wrong is the
-- stranger's: 422 with line and column.
local config = require "host.config"
local errors = require "web.errors"
local hooks = require "web.hooks"
local metrics = require "host.metrics"
local template = require "web.template"

local render = {}

local BYTES_MAX = config.get "limits.template"
local strict = template.strict()
local rendered = metrics.counter("lunacast_pictures_rendered_total", "Pictures rendered.")


local function refuse(code, err)
  local message = err.message or tostring(err)
  if err.line then
    message = ("line %d, column %d: %s"):format(err.line, err.column or 1, message)
  end
  if err.excerpt then message = message .. "\n" .. err.excerpt end
  errors.throw(422, code, message, nil, { line = err.line, column = err.column })
end


-- A part of the stream ends at a line that begins with the boundary. The plain search comes first:
-- hardly any picture has the word at all.
local function could_forge(svg)
  if not svg:find("--frame", 1, true) then return false end
  return svg:find "^%-%-frame" or svg:find "[\r\n]%-%-frame"
end


--- Renders; ends the request with 413 or 422 where the template or the picture can't be taken.
---@param text string
---@param args table
---@return string svg
function render.picture(text, args)
  local compiled, err = strict:compile(text)
  if not compiled then refuse("template_error", err) end
  local svg
  svg, err = compiled(args)
  if not svg then refuse("render_error", err) end
  if could_forge(svg) then
    errors.throw(422, "boundary", 'a line of the picture begins with "--frame", which could forge '
      .. "a part of the stream; put something before it")
  end
  rendered:inc()
  if hooks.any "render" then hooks.run("render", { svg = svg, args = args }) end
  return svg
end


--- Ends the request with 413 where the template is longer than the setting allows.
---@param text string
function render.check_size(text)
  if #text <= BYTES_MAX then return end
  errors.throw(413, "too_large", ("the template has %d bytes; at most %d are possible")
    :format(#text, BYTES_MAX), nil, { field = "template" })
end

return render
