-- /approvals: a page for those who decide. What waits, its context, approve, reject with a reason,
-- and what was decided; live. The page is a client of /api/aura/hitl with the reader's own token.
local static = require "web.static"
local web = require "web"

local FOLDER = "public/approvals/"
local FILES = { ["page.css"] = true, ["page.mjs"] = true }

local POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
  .. "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
local HEADERS = { ["Content-Security-Policy"] = POLICY, ["Referrer-Policy"] = "no-referrer" }

return {
  {
    path = "/approvals",
    GET = function(req)
      return web.with(static(req, FOLDER .. "index.html"), HEADERS)
    end,
  },
  {
    path = "/approvals/{file}",
    GET = function(req)
      local name = req.params.file
      if not FILES[name] then web.throw(404, "not_found", "/approvals has no such file") end
      return static(req, FOLDER .. name)
    end,
  },
}
