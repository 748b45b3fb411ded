-- What bench/run asks for, written as anybody would write it.
local web = require "web"

return {
  {
    path = "/text",
    GET = function()
      return web.text "Hello, world!"
    end,
  },
  {
    path = "/json",
    POST = function(req)
      local order = req.json
      local sum = 0
      for _, price in ipairs(order.prices) do sum = sum + price end
      return web.json { name = order.name, count = #order.prices, sum = sum }
    end,
  },
}
