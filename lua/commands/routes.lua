local application = require "cli.application"

return {
  summary = "the routes: method, path, file and line, middleware",
  usage = "routes [DIR] [--own] [--json]",
  lists = true,
  options = { { "own", help = "without those that come with lunacast" } },
  examples = { "lunacast routes", "lunacast routes shop --json" },
  run = function(call)
    local rows = {}
    for _, route in ipairs(application.load().routes) do
      local own = application.is_own(route.origin)
      if own or not call.options.own then
        rows[#rows + 1] = {
          method = route.method, path = route.path, middleware = route.middleware, own = own,
          file = route.file .. (route.line and ":" .. route.line or ""),
        }
      end
    end
    call:list(rows, { "method", "path", "file", "middleware" }, "no routes")
  end,
}
