-- Badges: /badge/{label}/{value}.svg, and the template function badge(). Text is as wide as the
-- browser will draw it (textLength), from widths that are computed once per text.
local badge = require "plugins.badge.draw"
local web = require "web"

local TEXT_MAX <const> = 100 -- characters


local function check(text, what)
  local length = utf8.len(text)
  if not length or length > TEXT_MAX or text:find "[\0-\31\127]" then
    web.throw(400, "bad_badge", ("the %s must be at most %d characters of UTF-8, without control "
      .. "characters"):format(what, TEXT_MAX), nil, { field = what })
  end
  return text
end


local function setup(plugin, config)
  plugin:route {
    path = "/badge/{label}/{file}",
    GET = function(req)
      local value = req.params.file:match "^(.+)%.svg$"
      if not value then
        web.throw(404, "not_found", "a badge's address ends in .svg: /badge/build/passing.svg")
      end
      local color, message = badge.color(req.query.color, check(value, "value"))
      if not color then web.throw(400, "bad_color", message, nil, { field = "color" }) end
      local picture = badge.draw(check(req.params.label, "label"), value, color, config)
      return web.with(web.svg(picture), {
        ["Cache-Control"] = ("public, max-age=%d"):format(config.max_age),
        ["X-Content-Type-Options"] = "nosniff",
        ["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'",
      })
    end,
  }
  plugin:template_function("badge", { safe = true, call = function(args)
    local label, value = tostring(args.label or ""), tostring(args.value or "")
    local color, message = badge.color(args.color, value)
    if not color then error(message, 0) end
    if #label + #value > 8 * TEXT_MAX then error("`label` and `value` are too long", 0) end
    return badge.draw(label, value, color, config)
  end })
end

return {
  name = "badge",
  version = "1.0",
  summary = "badges as SVG pictures",
  config = {
    label_color = { type = "string", default = "#3d444d", pattern = "#[0-9a-fA-F]{6}" },
    max_age = { type = "integer", min = 0, max = 31536000, default = 3600,
      about = "seconds that caches may keep a badge" },
    height = { type = "integer", min = 16, max = 64, default = 20 },
  },
  setup = setup,
}
