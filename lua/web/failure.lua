-- What the client gets to see of an error that nobody expected: a 500 with the request id and
-- nothing else, or, in development, a page with file, line and source.
local errors = require "web.errors"
local escape = require "web.escape"
local source = require "web.source"

local failure = {}

local PAGE = [[
<!doctype html><html lang="en"><meta charset="utf-8"><title>500</title>
<style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;
max-width:60rem;padding:0 1rem}pre{overflow:auto;padding:1rem;border-radius:.5rem;
background:color-mix(in srgb,currentColor 8%%,transparent)}mark{display:block}</style>
<h1>%s</h1><p>%s, request %s</p><pre>%s</pre><h2>Traceback</h2><pre>%s</pre>]]


local function development(message, traceback, x)
  local place = source.place(message, traceback)
  local shown = place and place.file .. ":\n" .. place.excerpt or "no source at hand"
  local accept = x:header "accept" or ""
  if not accept:find("text/html", 1, true) then
    local text = ("%s\n\n%s\n\n%s\n\n%s, request %s\n"):format(message, shown, traceback,
      x:target(), x:id())
    return { status = 500, type = "text/plain; charset=utf-8", body = text }
  end
  local page = PAGE:format(escape(message), escape(x:target()), escape(x:id()),
    escape(shown), escape(traceback))
  return {
    status = 500,
    type = "text/html; charset=utf-8",
    headers = { ["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'" },
    body = page,
  }
end


local function internal(x)
  return errors.new(500, "internal",
    "internal error; the server's log has the details under this request id", nil,
    { request_id = x:id() })
end


--- The answer for whatever a handler raised. Does not wait.
---@param err any
---@param traceback string
---@param x any the exchange
---@param dev boolean
---@param write? fun(err: web.Error): web.Response the route's own form of errors
---@return web.Response
---@return boolean|nil meant it was thrown as an answer (web.throw): nothing for the log
function failure.response(err, traceback, x, dev, write)
  local meant = errors.is(err)
  if not meant and dev then return development(tostring(err), tostring(traceback), x) end
  return (write or errors.response)(meant and err or internal(x)), meant
end

return failure
