-- Pages around live pictures: the viewer of one session, and the start page. They work without
-- JavaScript, by an <img> on the stream; the viewer's script only takes care of what an <img>
-- can't: it comes back after the server was away, and says when the session has ended.
local crypto = require "host.crypto"
local escape = require "web.escape"
local query = require "web.query"

local page = {}

local STYLE = [[
:root{color-scheme:light dark;--back:#f6f7f9;--text:#1c2430;--soft:#687385;--line:#dfe3e9;
--card:#fff;--mark:#2f6fed}
@media(prefers-color-scheme:dark){:root{--back:#0f1319;--text:#e6eaf0;--soft:#8d97a8;
--line:#262d38;--card:#161c25;--mark:#7aa7ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
a{color:var(--mark)}code,pre{font:13.5px/1.6 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}]]

local VIEWER_STYLE = STYLE .. [[
body{height:100vh;height:100dvh;display:grid;place-items:center}
img{max-width:100vw;max-height:100vh;max-height:100dvh;width:100%;height:100%;object-fit:contain;
background:none}
p{position:fixed;bottom:1rem;left:0;right:0;margin:auto;width:max-content;max-width:90vw;
padding:.4rem .9rem;border-radius:2rem;background:var(--card);border:1px solid var(--line);
color:var(--soft)}p:empty{display:none}]]

-- The events carry the pictures too, so that with JavaScript one connection serves both; the
-- <img>'s own is given up with the first event.
local VIEWER_SCRIPT = [[
"use strict";
(() => {
  const img = document.querySelector("img"), note = document.querySelector("p");
  const connect = () => {
    const events = new EventSource(location.pathname);
    events.onmessage = (e) => {
      note.textContent = "";
      img.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(e.data);
    };
    events.onerror = () => {
      note.textContent = "waiting for the server";
      if (events.readyState !== EventSource.CLOSED) return;
      fetch(location.pathname.replace("/stream/", "/svg/"), { method: "HEAD" })
        .then((answer) => {
          if (answer.status === 404) note.textContent = "this picture has ended";
          else setTimeout(connect, 2000);
        })
        .catch(() => setTimeout(connect, 2000));
    };
  };
  connect();
})();
]]


local function digest(script)
  return crypto.base64_encode(crypto.sha256(script))
end

local VIEWER_POLICY = "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
  .. "style-src 'unsafe-inline'; script-src 'sha256-" .. digest(VIEWER_SCRIPT) .. "'; "
  .. "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
local PAGE_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
  .. "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


local function html(status, policy, body)
  return {
    status = status,
    type = "text/html; charset=utf-8",
    headers = {
      ["Content-Security-Policy"] = policy,
      ["X-Content-Type-Options"] = "nosniff",
      ["Referrer-Policy"] = "same-origin",
      ["Cache-Control"] = "no-store",
      Vary = "Accept, Sec-Fetch-Dest",
    },
    body = body,
  }
end


local function head(title, style)
  return '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
    .. '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    .. '<link rel="icon" href="data:,">\n<title>' .. escape(title) .. "</title>\n<style>" .. style
    .. "</style>\n"
end


local function escape_path(path)
  return (path:gsub("[^/]+", query.encode))
end


--- The page of a session's stream, for a person's tab.
---@param path string of the stream
---@param session_id string
---@param exists boolean
---@return web.Response
function page.viewer(path, session_id, exists)
  if not exists then
    return html(404, PAGE_POLICY, head("no such picture", VIEWER_STYLE)
      .. "<p>There is no picture here; it may have expired.</p>\n")
  end
  return html(200, VIEWER_POLICY, head(session_id, VIEWER_STYLE) .. '<img src="'
    .. escape(escape_path(path)) .. '?raw=1" alt="' .. escape(session_id) .. '">\n<p></p>\n<script>'
    .. VIEWER_SCRIPT .. "</script>\n")
end

local INDEX_STYLE = STYLE .. [[
main{max-width:54rem;margin:0 auto;padding:3rem 1.25rem 4rem}
h1{font-size:2rem;line-height:1.2;margin:0 0 .4rem;letter-spacing:-.02em}
h2{font-size:1.1rem;margin:2.4rem 0 .6rem}
.lead{color:var(--soft);margin:0 0 1.8rem;max-width:42rem}
.demo{display:block;width:100%;height:auto;border-radius:14px;border:1px solid var(--line)}
pre{margin:0;padding:1rem 1.1rem;white-space:pre-wrap;overflow-wrap:anywhere;
background:var(--card);border-radius:10px;
border:1px solid var(--line)}
.note{color:var(--soft);font-size:.92rem}]]

-- As it stands in JSON.
local EXAMPLE = [[<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 300 80\">]]
  .. [[<rect width=\"300\" height=\"80\" rx=\"12\" fill=\"{{ color }}\"/>]]
  .. [[<text x=\"150\" y=\"48\" font-size=\"24\" text-anchor=\"middle\" fill=\"white\">]]
  .. [[{{ text }}</text></svg>]]

local INDEX = [[
<main>
<h1>lunacast</h1>
<p class="lead">A realtime server that you script. A session is a template and its arguments;
whoever looks at its stream sees each change at once.</p>
%s
<h2>Make a picture</h2>
<pre>curl -X POST %s/api/session -H 'Content-Type: application/json' -d '{
  "session_id": "hello",
  "template": "%s",
  "args": { "text": "hello", "color": "#2f6fed" }
}'</pre>
<h2>Look at it</h2>
<p>Open <a href="/stream/hello">%s/stream/hello</a>, or put it into a page:
<code>&lt;img src="%s/stream/hello"&gt;</code></p>
<h2>Change it</h2>
<pre>curl -X PATCH %s/api/session/hello -H 'Content-Type: application/json' \
  -d '{ "args": { "text": "it moves", "color": "#0a8f5b" } }'</pre>
<p class="note">Sessions of users work the same with a token from <code>POST /api/auth/token</code>.
The newest picture once: <code>/svg/hello</code>. As events: the stream's address with
<code>Accept: text/event-stream</code>. Publish/subscribe to try out:
<a href="/pubsub">/pubsub</a>. How the server is: <a href="/health">/health</a>,
<a href="/metrics">/metrics</a>.</p>
</main>
]]


--- The start page.
---@param origin string "http://localhost:3000"
---@param demo string|nil the public session whose picture it shows
---@return web.Response
function page.index(origin, demo)
  local picture = demo and ('<a href="/stream/%s"><img class="demo" src="/stream/%s" '
    .. 'alt="This server, live" width="960" height="420"></a>'):format(demo, demo) or ""
  local at = escape(origin)
  return html(200, PAGE_POLICY, head("lunacast", INDEX_STYLE)
    .. INDEX:format(picture, at, escape(EXAMPLE), at, at, at))
end

return page
