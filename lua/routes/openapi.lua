-- GET /openapi.json: what the routes say of themselves, as OpenAPI 3.1.
local config = require "host.config"
local json = require "host.json"
local openapi = require "web.openapi"
local routes = require "web.routes"
local web = require "web"

local HEADERS = { ["Cache-Control"] = "public, max-age=60" }
local written


return {
  path = "/openapi.json",
  GET = function()
    written = written or json.encode(openapi.document(routes.endpoints, {
      title = config.app and config.app.title or "lunacast", version = "1",
    }))
    return web.with({ status = 200, type = "application/json", body = written }, HEADERS)
  end,
}
