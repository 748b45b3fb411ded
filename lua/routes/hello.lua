-- The smallest routes there are; `bench/run` measures the first.
local web = require "web"

return {
  {
    path = "/hello",
    GET = function()
      return web.text "hello\n"
    end,
  },
  {
    path = "/hello/{name}",
    GET = function(req)
      return web.json { hello = req.params.name }
    end,
  },
}
