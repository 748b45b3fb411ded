-- The application's public files: public/logo.png is served as /public/logo.png.
local web = require "web"

return {
  path = "/public/**",
  GET = function(req)
    return web.file(req, "public/" .. req.tail)
  end,
}
