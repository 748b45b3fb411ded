-- A gateway: other servers behind one address, with a route of its own beside them.
return {
  ["README.md"] = [[
# @NAME@

One address in front of other servers: `/api/...` goes to the server at `API_URL`, with one route in
Lua beside it.

    API_URL=http://127.0.0.1:9000 lunacast dev
    lunacast upstreams   # their health, while it runs
    lunacast test        # runs spec/
    lunacast check       # before you commit

| file | what |
|---|---|
| `config.lua` | which prefix goes where |
| `lua/routes/index.lua` | a route of the gateway itself |
| `lua/middleware/trace.lua` | around it |
]],
  ["config.lua"] = [[
-- Settings; `lunacast config` lists all with their values.
return {
  gateway = {
    { prefix = "/api", upstream = env "API_URL" or "http://127.0.0.1:9000", strip = 1 },
  },
  app = { title = "@NAME@" },
}
]],
  ["lua/routes/index.lua"] = [[
local config = require "host.config"
local web = require "web"

return {
  path = "/",
  middleware = { "trace" },
  GET = function()
    return web.json { name = config.app.title, api = "/api/" }
  end,
}
]],
  ["lua/middleware/trace.lua"] = [[
-- How long an answer took, as browsers show it.
local time = require "host.time"
local web = require "web"

return function(req, next)
  local began = time.monotonic()
  local res = next(req)
  local ms = (time.monotonic() - began) * 1000
  return web.with(res, { ["Server-Timing"] = ("app;dur=%.1f"):format(ms) })
end
]],
  ["spec/gateway_spec.lua"] = [[
local test = require "host.test"

describe("the gateway", function()
  it("says what it is, and how long that took", function()
    local res = test.app():get "/"
    assert.equal(200, res.status)
    assert.matches("^app;dur=", res.headers["server-timing"])
  end)

  it("says so when the server behind it is away", function()
    local status = test.app():get("/api/items").status
    assert.is_true(status == 502 or status == 503, "got " .. status)
  end)
end)
]],
}
