-- /pubsub: a page that exercises publish/subscribe in a browser, and the client's modules, which
-- pages of the same origin may import from here. Everything comes from files; the policy lets
-- nothing inline run.
local static = require "web.static"
local web = require "web"

local PAGE = "public/pubsub/"
local CLIENT = "clients/js/"

local FILES = {
  ["page.css"] = PAGE, ["page.mjs"] = PAGE, ["view.mjs"] = PAGE,
  ["lunacast.mjs"] = CLIENT, ["auth.mjs"] = CLIENT, ["subscription.mjs"] = CLIENT,
  ["message.mjs"] = CLIENT, ["socket.mjs"] = CLIENT, ["sse.mjs"] = CLIENT, ["seal.mjs"] = CLIENT,
  ["live-svg.mjs"] = CLIENT,
}

local POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
  .. "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

local HEADERS = { ["Content-Security-Policy"] = POLICY, ["Referrer-Policy"] = "no-referrer",
  ["Cross-Origin-Opener-Policy"] = "same-origin" }


local function page(req)
  return web.with(static(req, PAGE .. "index.html"), HEADERS)
end


local function file(req)
  local name = req.params.file
  local folder = FILES[name]
  if not folder then web.throw(404, "not_found", "/pubsub has no such file") end
  return static(req, folder .. name)
end

return {
  { path = "/pubsub", GET = page },
  { path = "/pubsub/{file}", GET = file },
}
