-- Cross-origin requests: which web pages of other origins may read the answers
-- (fetch.spec.whatwg.org). An origin is compared whole: scheme, host and port; there are no
-- patterns, since each of them was somebody's hole (suffixes, dots, prefixes). Headers are set
-- before the handler runs, as defaults of the answer, so that errors carry them too; a preflight is
-- answered here, before any handler, token check or limit behind this plugin in the list.
local web = require "web"


-- "https://shop.example:8443", without a path, as browsers send it; else why not.
local function wrong_origin(origin)
  if origin == "*" then return nil end
  local host, port = origin:match "^https?://([%w.-]+):?(%d*)$"
  if not host then host, port = origin:match "^https?://(%[[%x:.]+%]):?(%d*)$" end
  if not host or origin:find ":$" then
    return "is written scheme://host or scheme://host:port, without a path"
  end
  if origin ~= origin:lower() then return "is written in small letters, as browsers send it" end
  local usual = origin:find "^https:" and "443" or "80"
  if port == usual then return ("is sent without the usual port :%s"):format(usual) end
end


local function check(config)
  local allowed, any = {}, false
  for _, origin in ipairs(config.origins) do
    local why = wrong_origin(origin)
    if why then error(('origins: "%s" %s'):format(origin, why), 0) end
    any = any or origin == "*"
    allowed[origin] = true
  end
  if any and config.credentials then
    error('credentials = true and the origin "*" exclude each other: every page could act as your '
      .. "users; list the origins", 0)
  end
  return allowed, any
end


-- Of the configured methods those that this path answers.
local function methods_of(req, config)
  local allow = require("web.routes"):allow(req.path)
  if not allow then return config.methods end
  local methods = {}
  for _, method in ipairs(config.methods) do
    if (", " .. allow .. ","):find(", " .. method .. ",", 1, true) then
      methods[#methods + 1] = method
    end
  end
  return methods
end


local function setup(plugin, config)
  local allowed, any = check(config)
  local exposed = table.concat(config.expose, ", ")
  local wanted_headers = table.concat(config.headers, ", ")

  local function preflight(req, good)
    if not good then
      return web.error(403, "origin_not_allowed", "pages of this origin may not call this server")
    end
    return web.empty(204, {
      ["Access-Control-Allow-Methods"] = table.concat(methods_of(req, config), ", "),
      ["Access-Control-Allow-Headers"] = wanted_headers,
      ["Access-Control-Max-Age"] = tostring(config.max_age),
    })
  end

  plugin:middleware(function(req, next)
    local origin = req:header "origin"
    local good = origin ~= nil and (any or allowed[origin] == true)
    if not any then req:default_header("Vary", "Origin") end
    if good then
      req:default_header("Access-Control-Allow-Origin", any and "*" or origin)
      if config.credentials then req:default_header("Access-Control-Allow-Credentials", "true") end
      if exposed ~= "" then req:default_header("Access-Control-Expose-Headers", exposed) end
    end
    if origin and req.method == "OPTIONS" and req:header "access-control-request-method" then
      return preflight(req, good)
    end
    return next(req)
  end)
end

return {
  name = "cors",
  version = "1.0",
  summary = "answers for web pages of other origins",
  config = {
    origins = {
      type = "array", items = { type = "string", min = 1, max = 255 }, min = 1, max = 1000,
    },
    credentials = { type = "boolean", default = false },
    methods = {
      type = "array", items = { type = "string", enum = { "GET", "HEAD", "POST", "PUT", "PATCH",
        "DELETE" } },
      default = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" },
    },
    headers = {
      type = "array", items = { type = "string", pattern = "[A-Za-z0-9-]+" },
      default = { "Authorization", "Content-Type", "If-Match", "If-None-Match", "Last-Event-ID" },
    },
    expose = {
      type = "array", items = { type = "string", pattern = "[A-Za-z0-9-]+" },
      default = { "ETag", "X-Request-ID", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining",
        "RateLimit-Reset" },
    },
    max_age = { type = "integer", min = 0, max = 86400, default = 600 },
  },
  setup = setup,
}
