-- The application's own templates, those in templates/, as answers. They are not a stranger's: what
-- is wrong with one is a bug of the application, so it is raised, with template, line and column.
local templates = require "web.templates"
local type_of = require "web.types"


--- `web.render("page.html", { title = "hi" })` or `web.render(404, "gone.html", {})`; the type
--- follows from the name.
---@param status integer|string
---@param name? string|table
---@param args? table
---@return web.Response
return function(status, name, args)
  if type(status) == "string" then status, name, args = 200, status, name end
  local text, err = templates.environment():render(name, args)
  if not text then error("templates/" .. tostring(err), 2) end
  return { status = status, type = type_of(name), body = text }
end
