-- web.proxy before servers that people use: nginx, Node, Python; and their deaths in mid-stream.
local http = require "spec.support.http"
local process = require "spec.support.process"
local server = require "spec.support.server"
local upstream = require "spec.support.upstream"
local uv = require "luv"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local NGINX = [[
daemon off; master_process off; error_log stderr; pid %s/nginx.pid;
events {}
http {
  access_log off; client_body_temp_path %s/t1; proxy_temp_path %s/t2; fastcgi_temp_path %s/t3;
  uwsgi_temp_path %s/t4; scgi_temp_path %s/t5;
  server {
    listen unix:%s/nginx.sock;
    root %s/public; gzip on; gzip_types text/plain; gzip_min_length 100; gzip_proxied any;
  }
}]]

local PYTHON = [[
import http.server, socketserver, sys
class H(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *a): pass
class S(socketserver.ThreadingMixIn, http.server.HTTPServer): pass
s = S(("127.0.0.1", 0), H)
print("upstream ready on %d" % s.server_address[1], flush=True)
s.serve_forever()
]]


describe("web.proxy before real servers", function()
  local folder, nginx, node, python, app
  local BIG = ("0123456789abcdef"):rep(1 << 18) -- 4 MiB

  setup(function()
    folder = server.folder()
    server.write(folder, {
      ["nginx.conf"] = NGINX:gsub("%%s", folder), ["up.py"] = PYTHON,
      ["public/a.txt"] = ("hello "):rep(100), ["public/big.bin"] = BIG,
    })
    nginx = process.spawn("/usr/sbin/nginx", { "-c", folder .. "/nginx.conf", "-p", folder })
    node = upstream.start("node", { "spec/support/node_upstream.mjs" })
    python = upstream.start("/bin/sh", { "-c", ("cd %s/public && exec python3 ../up.py"):format(folder) })
    wait.till(function() return uv.fs_stat(folder .. "/nginx.sock") or not nginx:running() end)
    assert.is_true(nginx:running(), nginx.err)
    app = server.start { workers = 1, files = { ["config.lua"] = ([[return { gateway = {
      { prefix = "/nginx", upstream = "unix:%s/nginx.sock", strip = 1 },
      { prefix = "/node", upstream = "%s", strip = 1 },
      { prefix = "/python", upstream = "%s", strip = 1 },
    } }]]):format(folder, node.url, python.url) } }
  end)

  teardown(function()
    app:stop()
    nginx:kill "sigkill"
    nginx:wait()
    node:stop()
    python:stop()
  end)

  it("nginx: files, ranges, conditions, compression", function()
    local res = app:get "/nginx/a.txt"
    assert.equal(("hello "):rep(100), res.body)
    local again = app:get("/nginx/a.txt", { headers = { ["If-None-Match"] = res.headers.etag } })
    assert.equal(304, again.status)
    assert.equal("", again.body)
    local part = app:get("/nginx/a.txt", { headers = { Range = "bytes=0-4" } })
    assert.equal(206, part.status)
    assert.equal("hello", part.body)
    assert.matches("^bytes 0%-4/600$", part.headers["content-range"])
    local packed = app:get("/nginx/a.txt", { headers = { ["Accept-Encoding"] = "gzip" } })
    assert.equal("gzip", packed.headers["content-encoding"])
    assert.is_true(#packed.body < 600)
    assert.equal("600", app:head("/nginx/a.txt").headers["content-length"])
    assert.equal(404, app:get("/nginx/none").status)
    assert.equal(BIG, app:get("/nginx/big.bin").body)
  end)

  it("Node: methods, large bodies, hints, trailers", function()
    local res = app:post("/node/x?a=b", { body = BIG }):json()
    assert.same({ "POST", "/x?a=b", #BIG }, { res.method, res.url, res.size })
    assert.equal("hinted", app:get("/node/hints").body)
    local trailing = app:get "/node/trailers"
    assert.equal("body", trailing.body)
    assert.is_nil(trailing.cut)
  end)

  it("Node: an answer that comes before the body was read", function()
    local c = app:connect()
    c:post("POST /node/early HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n" .. BIG)
    assert.equal(413, http.read_response(c).status)
    c:close()
  end)

  it("Node: an upgrade with bytes right behind it, and its end", function()
    local c = ws.open(app, "/node/up")
    assert.equal(101, c.status)
    assert.equal("hello", c.wire:read(5))
    c.wire:send "ping"
    assert.equal("ping", c.wire:read(4))
    c.wire:shutdown()
    assert.is_true(c.wire:ends_within())
    c.wire:close()
  end)

  it("Python: answers that end with the connection", function()
    local res = app:get "/python/a.txt"
    assert.equal(("hello "):rep(100), res.body)
    assert.equal(BIG, app:get("/python/big.bin").body)
    assert.equal(501, app:post("/python/a.txt", { body = "x" }).status)
  end)

  it("is used by many at once, and every connection is given back", function()
    local all = {}
    for i = 1, 60 do
      all[i] = app:connect()
      all[i]:post(http.format("GET", "/node/" .. i))
    end
    for i = 1, 60 do
      assert.equal("/" .. i, http.read_response(all[i]):json().url)
      all[i]:close()
    end
    local open = app:metric "lunacast_client_connections"
    for i = 1, 60 do assert.equal(200, app:get("/node/" .. i).status) end
    assert.equal(open, app:metric "lunacast_client_connections")
  end)

  it("shows a client that the upstream was killed in mid-stream", function()
    local up = upstream.start()
    local killed = server.start { workers = 1, files = { ["config.lua"] = ([[return { gateway = {
      { prefix = "/up", upstream = "%s" } } }]]):format(up.url) } }
    local c = killed:connect()
    c:send(http.format("GET", "/up/x", { headers = upstream.answer(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
      .. "9\r\ndata: 1\n\n\r\n") }))
    c:read_until "data: 1\n\n\r\n"
    local length = killed:connect()
    length:send(http.format("GET", "/up/x", { headers = upstream.answer(
      "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc") }))
    length:read_until "\r\n\r\nabc"
    up:kill "sigkill"
    assert.equal("", length:read_all()) -- 97 bytes too few
    assert.equal("", c:read_all()) -- no last chunk
    c:close()
    length:close()
    killed:stop()
  end)
end)
