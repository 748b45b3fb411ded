-- For load balancers and people: is it alive, is it ready, what does it do.
--   /health   200 as long as the process serves; says whether the store can be reached, and what
--             the plugins' checks say
--   /ready    200 when the store can be reached and all checks are well, else 503
--   /metrics  Prometheus text
local health = require "web.health"
local metrics = require "host.metrics"
local sql = require "host.sql"
local store = require "host.store"
local web = require "web"

local NO_STORE = { ["Cache-Control"] = "no-store" }
local TRY_AGAIN = { ["Cache-Control"] = "no-store", ["Retry-After"] = "1" }


-- A file can't be away; a server can.
if sql.name == "postgres" then
  health.add("database", function()
    local rows, message = sql.query("select 1", nil, { timeout = 1 })
    return rows ~= nil, message
  end)
end


local function report(status, headers, body)
  return web.with(web.json(status, body), headers)
end

return {
  {
    path = "/health",
    GET = function()
      local reached, message = store.ping()
      local well, checks = health.ask()
      return report(200, NO_STORE, {
        status = reached and well and "ok" or "degraded", store = reached and "ok" or message,
        checks = checks,
      })
    end,
  },
  {
    path = "/ready",
    GET = function()
      local reached, message, code = store.ping()
      local well, checks = health.ask()
      if reached and well then
        return report(200, NO_STORE, { status = "ready", checks = checks })
      end
      if reached then
        return report(503, TRY_AGAIN, {
          error = "a check of a plugin has failed", code = "check_failed", checks = checks,
        })
      end
      return report(503, TRY_AGAIN, { error = "the store can't be reached: " .. message,
        code = code })
    end,
  },
  {
    path = "/metrics",
    GET = function()
      return {
        status = 200,
        type = "text/plain; version=0.0.4; charset=utf-8",
        headers = NO_STORE,
        body = metrics.text(),
      }
    end,
  },
}
