-- For load balancers and people: is it alive, is it ready, what does it do.
--   /health   200 as long as the process serves; says whether the store can be reached
--   /ready    200 when the store can be reached, else 503
--   /metrics  Prometheus text
local metrics = require "host.metrics"
local store = require "host.store"
local web = require "web"

local NO_STORE = { ["Cache-Control"] = "no-store" }
local TRY_AGAIN = { ["Cache-Control"] = "no-store", ["Retry-After"] = "1" }


local function report(status, headers, body)
  return web.with(web.json(status, body), headers)
end

return {
  {
    path = "/health",
    GET = function()
      local reached, message = store.ping()
      if reached then return report(200, NO_STORE, { status = "ok", store = "ok" }) end
      return report(200, NO_STORE, { status = "degraded", store = message })
    end,
  },
  {
    path = "/ready",
    GET = function()
      local reached, message, code = store.ping()
      if reached then return report(200, NO_STORE, { status = "ready" }) end
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
