-- Headers that tell browsers to be careful. They are defaults: an answer that sets one itself (a
-- page with a policy of its own) keeps its own, and errors carry them too.
local HTML_POLICY <const> = "default-src 'self'; img-src 'self' data:; style-src 'self' "
  .. "'unsafe-inline'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'"


local function setup(plugin, config)
  local always = {
    ["X-Content-Type-Options"] = "nosniff",
    ["Referrer-Policy"] = config.referrer,
    ["X-Frame-Options"] = config.frames,
    ["Cross-Origin-Resource-Policy"] = config.resources,
    ["Permissions-Policy"] = config.permissions,
  }
  for name, value in pairs(always) do
    if value == "" then always[name] = nil end
  end
  local transport = config.hsts > 0
    and ("max-age=%d%s"):format(config.hsts, config.subdomains and "; includeSubDomains" or "")

  plugin:middleware(function(req, next)
    for name, value in pairs(always) do req:default_header(name, value) end
    if transport and req.scheme == "https" then
      req:default_header("Strict-Transport-Security", transport)
    end
    local res = next(req)
    if config.csp ~= "" and type(res) == "table" and type(res.type) == "string"
      and res.type:find("text/html", 1, true) then
      req:default_header("Content-Security-Policy", config.csp)
    end
    return res
  end)
end

return {
  name = "security-headers",
  version = "1.0",
  summary = "headers that tell browsers to be careful",
  config = {
    csp = { type = "string", max = 4000, default = HTML_POLICY },
    hsts = { type = "integer", min = 0, max = 63072000, default = 31536000 },
    subdomains = { type = "boolean", default = false },
    frames = { type = "string", enum = { "DENY", "SAMEORIGIN", "" }, default = "SAMEORIGIN" },
    referrer = {
      type = "string", default = "strict-origin-when-cross-origin",
      enum = { "no-referrer", "origin", "same-origin", "strict-origin",
        "strict-origin-when-cross-origin", "" },
    },
    resources = {
      type = "string", enum = { "same-origin", "same-site", "cross-origin", "" },
      default = "cross-origin",
    },
    permissions = {
      type = "string", max = 1000, default = "camera=(), microphone=(), geolocation=()",
    },
  },
  setup = setup,
}
