-- TLS with the real binary and real clients.
local http = require "spec.support.http"
local process = require "spec.support.process"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local folder


local function run(command, ...)
  local p = process.spawn(command, { ... })
  local code = p:wait(30)
  return code, p.out, p.err
end


local function certificate(name, subject)
  local code, _, err = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=" .. subject, "-addext",
    "subjectAltName=IP:127.0.0.1", "-keyout", folder .. "/" .. name .. ".key", "-out",
    folder .. "/" .. name .. ".crt")
  assert.equal(0, code, err)
end


local function start(cert, key)
  return server.start {
    set = { ["tls.cert"] = folder .. "/" .. cert, ["tls.key"] = folder .. "/" .. key },
  }
end


local function curl(app, ...)
  return run("curl", app.url .. "/health", "-sS", "--cacert", folder .. "/a.crt", "-m", "20", ...)
end


describe("TLS", function()
  setup(function()
    folder = server.folder()
    certificate("a", "first")
    certificate("b", "second")
  end)

  it("is left by peers in the middle of the handshake without a trace", function()
    local socket = server.folder() .. "/plain.sock"
    local app = server.start { workers = 1, listen = { "127.0.0.1:0", "unix:" .. socket }, set = {
      ["tls.cert"] = folder .. "/a.crt", ["tls.key"] = folder .. "/a.key",
      ["limits.header_time"] = "500ms",
    } }
    local plain = { address = { path = socket } }
    local hello = "\22\3\1\0\200\1\0\0\196\3\3" -- a ClientHello that has just begun
    for i = 1, 30 do
      local c = app:connect()
      if i % 3 > 0 then c:send(hello .. ("\0"):rep(i)) end
      if i % 4 == 0 then c:send "GET / HTTP/1.1\r\n\r\n" end
      if i % 5 > 0 then c[i % 2 == 0 and "reset" or "close"](c) end -- the others stay, silent
    end
    wait.till(function()
      local text = http.request(plain, "GET", "/metrics").body
      return text:match "\nlunacast_connections (%d+)\n" == "1"
    end, "the connections to go")
    assert.equal(0, (curl(app)))
    app:stop()
  end)

  it("serves curl, with the certificate from the settings", function()
    local app = start("a.crt", "a.key")
    assert.matches("^https://", app.url)
    local code, out, err = curl(app, "-i")
    assert.equal(0, code, err)
    assert.matches("HTTP/1.1 200", out)
    app:stop()
  end)

  it("refuses TLS 1.1 and serves 1.2 and 1.3", function()
    local app = start("a.crt", "a.key")
    assert.equal(0, (curl(app, "--tlsv1.2", "--tls-max", "1.2")))
    assert.equal(0, (curl(app, "--tlsv1.3")))
    assert.not_equal(0, (curl(app, "--tls-max", "1.1")))
    app:stop()
  end)

  it("streams pictures", function()
    local app = start("a.crt", "a.key")
    local code = run("curl", "-sS", "--cacert", folder .. "/a.crt", "-H", "Content-Type: application/json",
      "-d", '{"session_id":"a","template":"<svg>1</svg>"}', app.url .. "/api/session")
    assert.equal(0, code)
    local p = process.spawn("curl", { "-sSN", "--cacert", folder .. "/a.crt", "-m", "60", app.url .. "/stream/a" })
    wait.till(function() return p.out:find("<svg>1</svg>\r\n--frame", 1, true) end, "the picture")
    p:kill "sigterm"
    p:wait()
    app:stop()
  end)

  it("answers plain HTTP on its port with an end, not with silence", function()
    local app = start("a.crt", "a.key")
    local c = app:connect()
    c:send "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert.is_true(c:ends_within())
    app:stop()
  end)

  it("takes a renewed certificate at SIGHUP for new connections, and keeps the old when it is wrong", function()
    run("cp", folder .. "/a.crt", folder .. "/live.crt")
    run("cp", folder .. "/a.key", folder .. "/live.key")
    local app = start("live.crt", "live.key")
    assert.equal(0, (curl(app)))
    run("cp", folder .. "/b.crt", folder .. "/live.crt")
    app.process:kill "sighup"
    app:logged "the old one stays"
    assert.equal(0, (curl(app)))
    run("cp", folder .. "/b.key", folder .. "/live.key")
    app.process:kill "sighup"
    app:logged "the certificate was read again"
    wait.till(function()
      return run("curl", "-sS", "--cacert", folder .. "/b.crt", "-m", "20", app.url .. "/health") == 0
    end, "the new certificate")
    app:stop()
  end)

  it("does not start with a certificate that is missing or does not fit its key", function()
    for _, pair in ipairs { { "none.crt", "a.key" }, { "a.crt", "b.key" } } do
      local app = server.launch {
        set = { ["tls.cert"] = folder .. "/" .. pair[1], ["tls.key"] = folder .. "/" .. pair[2] },
      }
      assert.equal(1, (app.process:wait(30)))
      assert.matches(pair[1]:gsub("%.", "%%."), app.process.err)
    end
  end)
end)
