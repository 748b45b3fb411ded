-- The plugins security-headers and access-log.
local server = require "spec.support.server"

local ROUTES = { ["lua/routes/x.lua"] = [[
  local web = require "web"
  return {
    { path = "/html", GET = function() return web.html "<p>hi" end },
    { path = "/own", GET = function()
      return web.with(web.html "x", { ["Content-Security-Policy"] = "default-src 'none'", ["X-Frame-Options"] = "DENY" })
    end },
    { path = "/text", GET = function() return web.text "hi" end },
    { path = "/bug", GET = function() error "a bug of the handler" end },
    { path = "/mine", middleware = { "bearer" }, GET = function() return web.text "yours" end },
  }]] }

local function start(list, options)
  options = options or {}
  options.files = { ["config.lua"] = "return { plugins = " .. list .. " }" }
  for name, text in pairs(ROUTES) do options.files[name] = text end
  options.workers = 1
  return server.start(options)
end


describe("security headers", function()
  local app

  setup(function() app = start "{ 'security-headers' }" end)
  teardown(function() app:stop() end)

  it("stand on every answer, errors too", function()
    for _, path in ipairs { "/html", "/text", "/nothing", "/bug", "/badge" } do
      local headers = app:get(path).headers
      assert.equal("nosniff", headers["x-content-type-options"], path)
      assert.equal("SAMEORIGIN", headers["x-frame-options"], path)
      assert.equal("cross-origin", headers["cross-origin-resource-policy"], path)
      assert.is_nil(headers["strict-transport-security"], path)
    end
  end)

  it("give pages a policy, and leave an answer's own", function()
    assert.matches("default%-src 'self'", app:get("/html").headers["content-security-policy"])
    assert.is_nil(app:get("/text").headers["content-security-policy"])
    assert.equal("default-src 'none'", app:get("/own").headers["content-security-policy"])
    assert.equal("DENY", app:get("/own").headers["x-frame-options"])
  end)

  it("may be changed, and left out", function()
    local other = start "{ { 'security-headers', frames = 'DENY', csp = '', referrer = '' } }"
    local headers = other:get("/html").headers
    assert.equal("DENY", headers["x-frame-options"])
    assert.is_nil(headers["content-security-policy"])
    assert.is_nil(headers["referrer-policy"])
    other:stop()
  end)
end)


describe("the access log", function()
  it("says who asked for what, with which browser, and how it ended", function()
    local app = start("{ 'access-log' }", { set = { ["log.access"] = false, ["password.ln"] = 10 } })
    local res = app:post("/api/auth/token", { json = { user_id = "ada", password = "a good password" } })
    local token = res:json().token
    app:get("/mine?token=secret", { headers = {
      Authorization = "Bearer " .. token, ["User-Agent"] = 'cu"rl', Referer = "https://a.example/",
    } })
    local line = app:logged '"path":"/mine"'
    assert.equal("access", line.msg)
    assert.equal("ada", line.user)
    assert.equal(200, line.status)
    assert.equal("127.0.0.1", line.peer)
    assert.equal('cu"rl', line.user_agent)
    assert.equal("https://a.example/", line.referer)
    assert.equal("/mine", line.route)
    app:get "/nothing"
    assert.equal(404, app:logged('"path":"/nothing"').status)
    app:get "/bug"
    assert.matches("a bug of the handler", app:logged("a request failed").trace)
    local seen
    for _, entry in ipairs(app:log()) do seen = seen or entry.msg == "access" and entry.path == "/bug" and entry end
    assert.equal(500, seen.status)
    app:get "/health"
    assert.is_nil(app.process.err:find('"path":"/health"', 1, true))
    assert.is_nil(app.process.err:find("secret", 1, true))
    app:stop()
  end)

  it("writes the formats of Apache, and nothing that forges a line", function()
    local app = start "{ { 'access-log', format = 'combined' } }"
    app:get("/text", { headers = { ["User-Agent"] = 'x" 200 "y\\' } })
    local line = app:logged "GET /text"
    assert.matches('^127%.0%.0%.1 %- %- %[%d%d/%a%a%a/%d%d%d%d:%d%d:%d%d:%d%d %+0000%] "GET /text HTTP/1%.1" 200 %- "%-" '
      .. '"x\\x22 200 \\x22y\\x5c"$', line.msg)
    app:stop()
  end)

  it("may keep to slow requests", function()
    local app = start "{ { 'access-log', slow_ms = 10000 } }"
    app:get "/text"
    app:get "/bug"
    assert.is_nil(app.process.err:find('"msg":"access"', 1, true))
    app:stop()
  end)
end)
