-- host.http against an upstream that does as it is told, and against a server of our own.
local http = require "host.http"
local server = require "spec.support.server"
local task = require "host.task"
local upstream = require "spec.support.upstream"
local wait = require "spec.support.wait"

local LOCAL = { allow_private = true }

local function local_options(options)
  options.allow_private = true
  return options
end


describe("host.http", function()
  local up, app

  setup(function()
    up = upstream.start()
    local folder = server.folder()
    app = server.start {
      folder = folder, listen = { "127.0.0.1:0", "unix:" .. folder .. "/app.sock" },
      files = {
        ["lua/routes/all.lua"] = [[
          local web = require "web"
          return {
            { path = "/hi", GET = function(req) return web.text("hi " .. (req.query.name or "")) end },
            { path = "/echo", POST = function(req) return web.json { got = req.json } end },
            { path = "/big", GET = function() return web.text(("x"):rep(300000)) end },
            { path = "/there", GET = function() return web.redirect("/hi?name=you", 302) end },
            { path = "/round", GET = function() return web.redirect("/round", 302) end },
            { path = "/events", GET = function()
              return web.chunks("text/event-stream", function(write)
                write "retry: 10\nid: 1\ndata: a\n\n: idle\n\ndata: b\r"
                write "\ndata: c\r\n\r\nevent: last\ndata\n\ndata: cut"
              end)
            end },
          }
        ]],
      },
    }
  end)

  teardown(function()
    up:stop()
    app:stop()
  end)

  -- What http.get makes of an answer with these bytes.
  local function get(bytes, what, options)
    options = local_options(options or {})
    options.headers = upstream.answer(bytes, what)
    return http.get(up.url .. "/", options)
  end

  it("gives status, headers and body", function()
    local res = assert(http.get(app.url .. "/hi?name=joe", LOCAL))
    assert.equal(200, res.status)
    assert.equal("hi joe", res.body)
    assert.matches("^text/plain", res.headers["content-type"])
  end)

  it("sends JSON and reads what comes back", function()
    local res = assert(http.post(app.url .. "/echo", local_options { json = { n = { 1, 2 } } }))
    assert.equal('{"got":{"n":[1,2]}}', res.body)
  end)

  it("talks over a unix socket", function()
    local res = assert(http.request { unix = app.folder .. "/app.sock", url = "/hi?name=sock" })
    assert.equal("hi sock", res.body)
    local _, _, code = http.request { unix = app.folder .. "/none.sock", url = "/" }
    assert.equal("connect", code)
  end)

  it("undoes gzip, within the limit of the body", function()
    local res = assert(http.get(app.url .. "/big", LOCAL))
    assert.equal("gzip", res.headers["content-encoding"])
    assert.equal(300000, #res.body)
    local _, _, code = http.get(app.url .. "/big", local_options { max = 1000 })
    assert.equal("too_large", code)
  end)

  it("gives a streamed body piece by piece", function()
    local res <close> = assert(http.get(app.url .. "/big", local_options { stream = true }))
    local size = 0
    for piece in res.read, res do size = size + #piece end
    assert.equal(300000, size)
  end)

  it("reads events by the rules of the standard", function()
    local feed, all = http.events(local_options { url = app.url .. "/events" }), {}
    for event in feed do all[#all + 1] = event end
    assert.same({
      { data = "a", event = "message", id = "1", retry = 10 },
      { data = "b\nc", event = "message", id = "1" },
      { data = "", event = "last", id = "1" },
    }, all)
    assert.is_nil(feed.failure)
  end)

  it("says why there are no events", function()
    local feed = http.events(local_options { url = app.url .. "/hi" })
    assert.is_nil(feed())
    assert.equal("bad_response", feed.code)
  end)

  it("follows redirects only when asked, and not for ever", function()
    assert.equal(302, http.get(app.url .. "/there", LOCAL).status)
    assert.equal("hi you", http.get(app.url .. "/there", local_options { redirects = 3 }).body)
    assert.equal(302, http.get(app.url .. "/round", local_options { redirects = 3 }).status)
  end)

  it("uses a connection again", function()
    up:forget()
    for _ = 1, 3 do assert.equal(200, http.get(up.url .. "/", LOCAL).status) end
    local records = up:records()
    assert.equal(records[1].connection, records[3].connection)
  end)

  it("sends an idempotent request again when a kept connection turns out dead", function()
    local first = { ["X-Answer"] = "", ["X-Then"] = "close" }
    assert.equal(200, http.get(up.url .. "/", LOCAL).status)
    up:forget()
    local res, _, code = http.get(up.url .. "/", local_options { headers = first })
    assert.is_nil(res)
    assert.equal("reset", code)
    assert.equal(2, #up:records())
    assert.equal(200, http.get(up.url .. "/", LOCAL).status)
    up:forget()
    _, _, code = http.post(up.url .. "/", local_options { headers = first, body = "x" })
    assert.equal("reset", code)
    assert.equal(1, #up:records())
  end)

  it("takes an answer in whatever pieces it comes", function()
    local bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
    local pieces = {}
    for i = 1, #bytes, 9 do pieces[#pieces + 1] = bytes:sub(i, i + 8) end
    assert.equal("abcd", get(pieces).body)
  end)

  it("reads until the end of the connection where no length is given", function()
    assert.equal("all", get("HTTP/1.0 200 OK\r\n\r\nall", "close").body)
  end)

  it("passes over interim answers", function()
    local res = get("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      .. "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert.equal("ok", res.body)
    assert.is_nil(res.headers.link)
  end)

  local BIG = {} -- a path of its own: a request's header is not the place for it
  local BAD = {
    ["length and coding"] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
      .. "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ["two lengths"] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    ["the same length twice"] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
    ["a list of lengths"] = "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
    ["a signed length"] = "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
    ["a huge length"] = "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nab",
    ["an empty length"] = "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nab",
    ["another coding"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ["chunks in HTTP/1.0"] = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ["a bad chunk"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n",
    ["a chunk that is longer"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    ["101 that nobody asked for"] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
      .. "Connection: Upgrade\r\n\r\n",
    ["204 with a body"] = "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nab",
    ["bare line feeds"] = "HTTP/1.1 200 OK\nContent-Length: 2\n\nab",
    ["a folded header"] = "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    ["a space before the colon"] = "HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
    ["a NUL in a value"] = "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    ["another version"] = "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ["a status of two digits"] = "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    ["no HTTP"] = "SSH-2.0-OpenSSH_9.2\r\n",
    ["a head of 1 MiB"] = BIG,
    ["endless interim answers"] = ("HTTP/1.1 102 Processing\r\n\r\n"):rep(40),
  }
  for name, bytes in pairs(BAD) do
    it("refuses " .. name .. ", and does not use the connection again", function()
      up:forget()
      local res, message, code
      if bytes == BIG then
        res, message, code = http.get(up.url .. "/big-head", LOCAL)
      else
        res, message, code = get(bytes)
      end
      assert.is_nil(res)
      assert.equal("bad_response", code, message)
      assert.equal(200, http.get(up.url .. "/", LOCAL).status)
      local records = up:records()
      assert.not_equal(records[1].connection, records[2].connection)
    end)
  end

  it("closes a connection whose answer has something behind it", function()
    up:forget()
    local good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    assert.equal("ok", get(good .. good).body)
    assert.equal("ok", get(good).body)
    local records = up:records()
    assert.not_equal(records[1].connection, records[2].connection)
  end)

  for name, bytes in pairs {
    ["a body"] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
    ["a chunk"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
    ["chunks without the last one"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      .. "3\r\nabc\r\n",
    ["a head"] = "HTTP/1.1 200 OK\r\nContent-Le",
  } do
    it("fails when the upstream ends in the middle of " .. name, function()
      for _, what in ipairs { "close", "reset" } do
        local res, _, code = get(bytes, what)
        assert.is_nil(res)
        assert.equal("reset", code)
      end
    end)
  end

  it("gives up in time", function()
    local began = wait.now()
    local _, _, code = http.get(up.url .. "/", local_options {
      timeout = 0.3, headers = { ["X-Then"] = "hang" },
    })
    assert.equal("timeout", code)
    _, _, code = get("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "keep",
      { idle_timeout = 0.3 })
    assert.equal("timeout", code)
    assert.is_true(wait.now() - began < 20)
  end)

  it("ends the upstream's request when the answer is closed", function()
    local before = up:ended()
    do
      local res <close> = assert(get("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "keep",
        { stream = true }))
      assert.equal("abc", res:read())
    end
    wait.till(function() return up:ended() > before end)
  end)

  it("tells who reads when another task closes the answer, and has one reader", function()
    local res = assert(get("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "keep", { stream = true }))
    assert.equal("abc", res:read())
    local told
    task.spawn(function()
      told = "reading"
      told = { res:read() }
    end)
    wait.till(function() return told end)
    assert.matches("another task reads", select(2, pcall(res.read, res)))
    res:close()
    wait.till(function() return told ~= "reading" end)
    assert.same({ nil, "the answer was closed by its reader", "reset" }, told)
  end)

  it("refuses private addresses, however they are written, unless allowed", function()
    local port = ":" .. up.port .. "/"
    for _, host in ipairs { "127.0.0.1", "localhost", "0x7f.1", "2130706433", "127.1", "0",
      "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "10.0.0.1",
      "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "[fe80::1]", "[fd00::1]",
      "LOCALHOST", "0.0.0.0", "017700000001", "0177.0.0.1", "127.0x1", "0x7f000001", "[::]",
      "[::127.0.0.1]", "[0:0:0:0:0:ffff:7f00:0001]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::a00:1]",
      "[2002:7f00:1::]", "[fec0::1]", "[ff02::1]", "255.255.255.255", "224.0.0.1" } do
      local res, message, code = http.get("http://" .. host .. port, { timeout = 2 })
      assert.is_nil(res)
      assert.equal("refused", code, host .. ": " .. tostring(message))
    end
    for _, host in ipairs { "localhost.", "127.0.0.1.", "10.1", "0x7f.0.0.0.1", "%31%32%37.0.0.1", "①②⑦.⓪.⓪.①" } do
      local res, _, code = http.get("http://" .. host .. port, { timeout = 2 })
      assert.is_nil(res, host)
      assert.is_true(code == "refused" or code == "dns" or code == "timeout", host .. " " .. code)
    end
  end)

  it("follows no redirect to an address that it may not reach", function()
    local inside = server.start { listen = { "127.0.0.1:0" }, files = { ["lua/routes/secret.lua"] = [[
      return { path = "/secret", GET = function()
        require("host.metrics").counter("secret_total", "Requests that came here."):inc()
        return require("web").text "secret"
      end }]] } }
    local outside = server.start {
      listen = { "127.0.0.2:0", "127.0.0.1:0" }, set = { ["client.allow"] = "127.0.0.2" },
      files = { ["lua/routes/all.lua"] = ([[
        local http, web = require "host.http", require "web"
        return {
          { path = "/away", GET = function() return web.redirect("http://127.0.0.1:%d/secret", 302) end },
          { path = "/ask", POST = function(req)
            local res, message, code = http.get(req.body, { redirects = 3 })
            return web.text(res and res.status .. res.body or code .. ": " .. message)
          end },
        }]]):format(inside.port) },
    }
    local function ask(path)
      return http.post(outside.urls[2] .. "/ask", local_options { body = outside.urls[1] .. path }).body
    end
    assert.matches("^200", ask "/health")
    assert.matches("^refused: ", ask "/away")
    assert.is_nil(inside:metric "secret_total")
    assert.equal("secret", inside:get("/secret").body)
    outside:stop()
    inside:stop()
  end)

  it("refuses URLs that could mean two hosts", function()
    for _, url in ipairs { "http://a@127.0.0.1/", "http://a\\@b/", "ftp://a/", "http://", "http:///x",
      "http://a:0/", "http://a:99999/", "http://a:/", "http://a b/", "http://a/\r\nX: y", "http://a%2f/",
      "http://" .. ("a"):rep(254) .. "/", "http://[::1", "/path" } do
      local res, _, code = http.get(url, LOCAL)
      assert.is_nil(res)
      assert.equal("refused", code, url)
    end
  end)

  it("knows a name that has no address, and a port where nobody listens", function()
    local _, _, code = http.get("http://nowhere.invalid/", LOCAL)
    assert.equal("dns", code)
    _, _, code = http.get("http://127.0.0.1:1/", LOCAL)
    assert.equal("connect", code)
  end)

  it("raises for requests that are wrong", function()
    assert.has_error(function() http.request { url = up.url, method = "GET /" } end)
    assert.has_error(function() http.get(up.url, { headers = { ["A\r\nB"] = "c" } }) end)
    assert.has_error(function() http.get(up.url, { headers = { A = "b\nc" } }) end)
    assert.has_error(function() http.get(up.url, { headers = { ["Transfer-Encoding"] = "x" } }) end)
    assert.has_error(function() http.get(up.url, { timeout = -1 }) end)
    assert.has_error(function() http.request() end)
  end)

  it("checks certificates unless told", function()
    local folder = server.folder()
    assert(os.execute(("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
      .. " -keyout %s/key.pem -out %s/cert.pem -subj /CN=localhost"
      .. " -addext subjectAltName=DNS:localhost 2>/dev/null"):format(folder, folder)))
    local secure = server.start {
      set = {
        ["tls.cert"] = folder .. "/cert.pem", ["tls.key"] = folder .. "/key.pem",
        ["client.ca"] = folder .. "/cert.pem",
      },
      files = { ["lua/routes/hi.lua"] = [[
        local http, web = require "host.http", require "web"
        return {
          { path = "/hi", GET = function() return web.text "safe" end },
          { path = "/ask", POST = function(req)
            local res, message, code = http.get(req.body, { allow_private = true })
            return web.text(res and res.body or code .. ": " .. message)
          end },
        }
      ]] },
    }
    local url = "https://localhost:" .. secure.port .. "/hi"
    local _, message, code = http.get(url, LOCAL)
    assert.equal("tls", code)
    assert.matches("self.signed certificate", message)
    assert.equal("safe", http.get(url, local_options { insecure = true }).body)
    local function ask(target)
      return http.request(local_options { url = "https://localhost:" .. secure.port .. "/ask",
        body = target, insecure = true }).body
    end
    assert.equal("safe", ask(url))
    assert.matches("^tls: .*mismatch", ask("https://127.0.0.1:" .. secure.port .. "/hi"))
    _, _, code = http.get("https://127.0.0.1:" .. up.port .. "/", LOCAL)
    assert.equal("tls", code)
    secure:stop()
  end)

  it("leaves no connection open when its own authorities cannot be read", function()
    local blind = server.start { set = { ["client.ca"] = "/nowhere/ca.pem" }, files = { ["lua/routes/ask.lua"] = [[
      local http, web = require "host.http", require "web"
      return { path = "/ask", POST = function(req)
        local _, message, code = http.get(req.body, { allow_private = true })
        return web.text(code .. ": " .. message)
      end }
    ]] } }
    local before = up:ended()
    local res = blind:post("/ask", { body = "https://127.0.0.1:" .. up.port })
    assert.matches("^tls: .*/nowhere/ca.pem can't be read: No such file", res.body)
    wait.till(function() return up:ended() > before end)
    blind:stop()
  end)
end)
