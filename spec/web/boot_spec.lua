local fakes = require "spec.support.fakes"

-- A boot whose application is given as tables: { ["routes.x"] = { path = ... } }.
local function boot_with(modules, settings)
  local files, loaded = {}, {}
  for name, value in pairs(modules) do
    local folder, stem = name:match "^(%w+)%.(.+)$"
    if folder then
      files["lua/" .. folder] = files["lua/" .. folder] or {}
      table.insert(files["lua/" .. folder], stem .. ".lua")
      loaded[name] = value
    end
  end
  for path, text in pairs(modules.files or {}) do files[path] = text end
  local world = fakes.install { files = files, config = settings, modules = loaded }
  return require "boot", world
end


local function get(boot, path, options)
  return fakes.request(boot, "GET", path, options)
end


describe("boot", function()
  local web = setmetatable({}, { __index = function(_, name) return require "web"[name] end })

  it("serves a static route and names it for logs", function()
    local boot = boot_with { ["routes.a"] = { path = "/a", GET = function() return web.text "hi" end } }
    local res, x = get(boot, "/a")
    assert.same({ status = 200, type = "text/plain; charset=utf-8", body = "hi" }, res)
    assert.same({ "/a" }, x.routes)
  end)

  it("serves a list of routes with parameters", function()
    local boot = boot_with { ["routes.a"] = {
      { path = "/a/{x}", GET = function(req) return web.text(req.params.x) end },
      { path = "/f/**", GET = function(req) return web.text(req.tail) end },
    } }
    local res, x = get(boot, "/a/7")
    assert.equal("7", res.body)
    assert.same({ "/a/{x}" }, x.routes)
    assert.equal("b/c", get(boot, "/f/b/c").body)
  end)

  it("gives C what answers paths without parameters, by method and path", function()
    local route = { path = "/a", GET = function(req)
      return web.text(("%s %s %s"):format(req.method, req.path, req.route.path))
    end }
    local static = boot_with({ ["routes.a"] = { route, { path = "/b/{x}", GET = route.GET } } }).static
    local handler, Request = table.unpack(static["GET /a"])
    assert.equal("GET /a /a", handler(setmetatable({}, Request)).body)
    assert.equal(route, setmetatable({}, Request).route)
    handler, Request = table.unpack(static["HEAD /a"])
    assert.equal("HEAD /a /a", handler(setmetatable({}, Request)).body)
    assert.is_nil(static["PUT /a"])
    assert.is_nil(static["GET /b/{x}"])
  end)

  it("answers 404 with the common error shape", function()
    local res = get(boot_with {}, "/nowhere")
    assert.equal(404, res.status)
    assert.equal("application/json", res.type)
    assert.truthy(res.body:find('"code":"not_found"', 1, true))
    assert.truthy(res.body:find('"error":"', 1, true))
  end)

  it("answers 405 with Allow, and OPTIONS with 204", function()
    local boot = boot_with { ["routes.a"] = { path = "/a", GET = function() return web.text "" end } }
    local res = fakes.request(boot, "PUT", "/a")
    assert.equal(405, res.status)
    assert.equal("GET, HEAD, OPTIONS", res.headers.Allow)
    res = fakes.request(boot, "OPTIONS", "/a")
    assert.equal(204, res.status)
    assert.equal("GET, HEAD, OPTIONS", res.headers.Allow)
  end)

  it("puts middleware around a handler, the first outermost", function()
    local order = {}
    local function mark(name)
      return function(req, next)
        order[#order + 1] = name
        local res = next(req)
        order[#order + 1] = "/" .. name
        return res
      end
    end
    local boot = boot_with({
      ["middleware.named"] = mark "named",
      ["routes.a"] = {
        path = "/a",
        middleware = { "named", mark "inline" },
        GET = function() order[#order + 1] = "handler" return web.text "" end,
      },
    }, { app = { middleware = { mark "all" } } })
    get(boot, "/a")
    assert.same({ "all", "named", "inline", "handler", "/inline", "/named", "/all" }, order)
  end)

  it("asks the hook request and lets the hook response replace the answer", function()
    local modules = {
      ["routes.a"] = {
        { path = "/a", GET = function() return web.text "hi" end },
        { path = "/b/{x}", GET = function() return web.text "hi" end },
      },
      ["hooks.a"] = {
        request = function(c)
          if c.req.path == "/b/no" then return false, "not here", "closed" end
        end,
        response = function(c) c.response = web.text(c.response.body .. "!") end,
      },
    }
    local boot = boot_with(modules)
    assert.equal("hi!", get(boot, "/a").body)
    assert.equal("hi!", get(boot, "/b/yes").body)
    local res = get(boot, "/b/no")
    assert.equal(403, res.status)
    assert.truthy(res.body:find('"code":"closed"', 1, true))
  end)

  it("lets middleware answer itself", function()
    local boot = boot_with { ["routes.a"] = {
      path = "/a",
      middleware = { function() return web.error(401, "no_token", "no") end },
      GET = function() error "not reached" end,
    } }
    assert.equal(401, get(boot, "/a").status)
  end)

  it("puts the application's middleware around 404 and 405 too", function()
    local function mark(req, next)
      local ok, err = pcall(next, req)
      return ok and err or web.text "caught"
    end
    local boot = boot_with({}, { app = { middleware = { mark } } })
    assert.equal("caught", get(boot, "/nowhere").body)
  end)

  it("turns what is thrown into the answer", function()
    local boot = boot_with { ["routes.a"] = { path = "/a", GET = function()
      web.throw(403, "forbidden", "not yours", { ["X-Why"] = "test" })
    end } }
    local res = get(boot, "/a")
    assert.equal(403, res.status)
    assert.equal("test", res.headers["X-Why"])
    assert.truthy(res.body:find('"code":"forbidden"', 1, true))
  end)

  it("tells C what was meant as an answer and is nothing for the log", function()
    local boot = boot_with {}
    local errors = require "web.errors"
    local _, meant = boot.failed(errors.new(503, "busy", "later"), "trace", fakes.exchange(), false)
    assert.is_true(meant)
    _, meant = boot.failed("a bug", "trace", fakes.exchange(), false)
    assert.is_falsy(meant)
  end)

  it("says nothing about a bug but the request id", function()
    local boot = boot_with { ["routes.a"] = { path = "/a", GET = function() error "secret" end } }
    local res = get(boot, "/a")
    assert.equal(500, res.status)
    assert.is_nil(res.body:find("secret", 1, true))
    assert.is_nil(res.body:find(".lua", 1, true))
    assert.truthy(res.body:find('"code":"internal"', 1, true))
    assert.truthy(res.body:find('"request_id":"req-1"', 1, true))
  end)

  it("copes with raised values that are no text", function()
    for _, value in ipairs { { 1 }, true, 7 } do
      local boot = boot_with { ["routes.a"] = { path = "/a", GET = function() error(value) end } }
      assert.equal(500, get(boot, "/a").status)
      assert.equal(500, get(boot, "/a", { dev = true }).status)
    end
    local boot = boot_with { ["routes.a"] = { path = "/a", GET = function() error(nil) end } }
    assert.equal(500, get(boot, "/a", { dev = true }).status)
  end)

  it("shows file, line and source in development", function()
    local modules = {
      ["routes.a"] = { path = "/a", GET = function()
        error("lua/routes/a.lua:2: <boom>", 0)
      end },
      files = { ["lua/routes/a.lua"] = "one\ntwo is wrong\nthree\n" },
    }
    local boot = boot_with(modules)
    local res = get(boot, "/a", { dev = true })
    assert.equal("text/plain; charset=utf-8", res.type)
    assert.truthy(res.body:find("lua/routes/a.lua:2: <boom>", 1, true))
    assert.truthy(res.body:find(">    2  two is wrong", 1, true))
    res = get(boot, "/a", { dev = true, headers = { Accept = "text/html" } })
    assert.equal("text/html; charset=utf-8", res.type)
    assert.truthy(res.body:find("&lt;boom&gt;", 1, true))
    assert.truthy(res.body:find("two is wrong", 1, true))
  end)

  it("fails to load where two routes collide", function()
    assert.has_error(function()
      boot_with { ["routes.a"] = { path = "/a", GET = print }, ["routes.b"] = { path = "/a", GET = print } }
    end, "lua/routes/b.lua: GET /a answers the same requests as /a in lua/routes/a.lua; one needs "
      .. "another path (a file that is named like a built-in one replaces it)")
  end)

  it("fails to load where a file returns the wrong thing", function()
    assert.has_error(function() boot_with { ["routes.a"] = 7 } end,
      "lua/routes/a.lua: a route file returns a table, it returned a number")
    assert.has_error(function() boot_with { ["start.a"] = 7 } end,
      "lua/start/a.lua: a start file returns a function, it returned a number")
    assert.has_error(function() boot_with { ["middleware.a"] = 7,
      ["routes.a"] = { path = "/a", middleware = { "a" }, GET = print } } end,
      "lua/middleware/a.lua must return a function(req, next), it returned a number")
  end)

  it("names the missing middleware", function()
    local ok, message = pcall(boot_with, {
      ["routes.a"] = { path = "/a", middleware = { "nope" }, GET = print },
    })
    assert.is_false(ok)
    assert.truthy(message:find('lua/routes/a.lua: there is no middleware "nope"', 1, true))
  end)
end)
