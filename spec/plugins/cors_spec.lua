-- The plugin cors: which pages may read answers, and what they are told before.
local server = require "spec.support.server"

local FILES = {
  ["lua/routes/x.lua"] = [[
    local web = require "web"
    local runs = require("host.metrics").counter("handler_runs_total", "")
    return {
      { path = "/x", GET = function() runs:inc() return web.text "x" end, PUT = function() return web.empty() end },
      { path = "/secret", middleware = { "bearer" }, GET = function() return web.text "s" end },
      { path = "/bug", GET = function() error "a bug" end },
      { path = "/varied", GET = function() return web.with(web.text "v", { Vary = "Accept" }) end },
    }]],
}

local function start(settings)
  local files = { ["config.lua"] = "return { plugins = { { 'cors', " .. settings .. " } } }" }
  for name, text in pairs(FILES) do files[name] = text end
  return server.start { files = files, workers = 1 }
end

local GOOD = "https://good.com"


describe("cors", function()
  local app

  setup(function()
    app = start "origins = { 'https://good.com', 'http://localhost:5173' }, credentials = true"
  end)
  teardown(function() app:stop() end)

  local function allowed(path, origin)
    local res = app:get(path, { headers = { Origin = origin } })
    return res.headers["access-control-allow-origin"], res
  end

  it("lets listed origins read, and says so to caches", function()
    local origin, res = allowed("/x", GOOD)
    assert.equal(GOOD, origin)
    assert.equal("true", res.headers["access-control-allow-credentials"])
    assert.matches("ETag", res.headers["access-control-expose-headers"])
    assert.matches("Origin", res.headers.vary)
    assert.equal("http://localhost:5173", (allowed("/x", "http://localhost:5173")))
    assert.matches("Origin", app:get("/x").headers.vary)
  end)

  it("compares the whole origin", function()
    for _, origin in ipairs {
      "null", "https://good.com.evil.com", "https://evilgood.com", "https://evil-good.com", "https://Good.com",
      "HTTPS://good.com", "https://good.com:8443", "https://good.com:443", "http://good.com", "https://good.com/",
      "https://good.com.", "https://sub.good.com", "http://localhost:5174", "http://localhost", "*",
      "https://good.com, https://good.com", "https://good.com\thttps://x",
    } do
      local found, res = allowed("/x", origin)
      assert.is_nil(found, origin)
      assert.is_nil(res.headers["access-control-allow-credentials"], origin)
      assert.equal(200, res.status)
    end
  end)

  it("answers a preflight itself: exact methods, no token, no handler", function()
    local before = app:metric "handler_runs_total" or 0
    for path, methods in pairs { ["/x"] = "GET, HEAD, PUT", ["/secret"] = "GET, HEAD" } do
      local res = app:options(path, { headers = {
        Origin = GOOD, ["Access-Control-Request-Method"] = "PUT", ["Access-Control-Request-Headers"] = "content-type",
      } })
      assert.equal(204, res.status)
      assert.equal(methods, res.headers["access-control-allow-methods"])
      assert.equal(GOOD, res.headers["access-control-allow-origin"])
      assert.matches("Content%-Type", res.headers["access-control-allow-headers"])
      assert.equal("600", res.headers["access-control-max-age"])
      assert.matches("Origin", res.headers.vary)
    end
    assert.equal(before, app:metric "handler_runs_total" or 0)
    local res = app:options("/x", { headers = {
      Origin = "https://evil.com", ["Access-Control-Request-Method"] = "GET",
    } })
    assert.equal(403, res.status)
    assert.is_nil(res.headers["access-control-allow-origin"])
  end)

  it("leaves other OPTIONS requests alone", function()
    assert.equal("GET, HEAD, OPTIONS, PUT", app:options("/x").headers.allow)
  end)

  it("is on errors too", function()
    for path, status in pairs { ["/secret"] = 401, ["/nothing"] = 404, ["/bug"] = 500 } do
      local origin, res = allowed(path, GOOD)
      assert.equal(status, res.status)
      assert.equal(GOOD, origin, path)
    end
    app:logged "a bug"
    local res = app:post("/x", { headers = { Origin = GOOD } })
    assert.equal(405, res.status)
    assert.equal(GOOD, res.headers["access-control-allow-origin"])
  end)

  it("adds to an answer's own Vary", function()
    local head = select(2, allowed("/varied", GOOD)).head
    assert.matches("\r\nVary: Accept\r\n", head)
    assert.matches("\r\nVary: Origin\r\n", head)
  end)

  it("may be open to any page, without credentials", function()
    local open = start "origins = { '*' }"
    local res = open:get("/x", { headers = { Origin = "https://any.example" } })
    assert.equal("*", res.headers["access-control-allow-origin"])
    assert.is_nil(res.headers["access-control-allow-credentials"])
    open:stop()
  end)

  for settings, expected in pairs {
    ["origins = { '*' }, credentials = true"] = "exclude each other",
    ["origins = {}"] = "origins must have 1 to 1000 items, has 0",
    ["origin = 'https://a.b'"] = "did you mean 'origins'",
    ["origins = { 'good.com' }"] = "is written scheme://host",
    ["origins = { 'https://good.com/' }"] = "is written scheme://host",
    ["origins = { 'https://Good.com' }"] = "in small letters",
    ["origins = { 'https://good.com:443' }"] = "without the usual port",
    ["origins = { 'null' }"] = "is written scheme://host",
    ["origins = { 'https://a.b' }, methods = { 'get' }"] = "methods[0] must be one of",
  } do
    it("is refused at the start: " .. settings, function()
      local files = { ["config.lua"] = "return { plugins = { { 'cors', " .. settings .. " } } }" }
      local refused = server.launch { files = files }
      assert.equal(1, (refused.process:wait(30)))
      assert.is_truthy(refused.process.err:find(expected, 1, true), refused.process.err)
    end)
  end
end)
