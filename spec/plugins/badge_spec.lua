-- The plugin badge, which is enabled where config.lua says nothing.
local server = require "spec.support.server"


describe("a badge", function()
  local app

  setup(function() app = server.start { workers = 1 } end)
  teardown(function() app:stop() end)

  local function draw(path)
    local res = app:get("/badge/" .. path)
    assert.equal(200, res.status, res.body)
    assert.equal("image/svg+xml", res.headers["content-type"])
    return res.body, res
  end

  it("shows label and value, with a name for those who can't see it", function()
    local svg, res = draw "build/passing.svg"
    assert.matches('aria%-label="build: passing"', svg)
    assert.matches(">build</text>", svg)
    assert.matches(">passing</text>", svg)
    assert.equal("public, max-age=3600", res.headers["cache-control"])
  end)

  it("is as wide as its text, and the text as wide as was computed", function()
    local narrow, wide = draw "a/i.svg", draw "a/WWWWWWWW.svg"
    local function width(svg) return tonumber(svg:match 'width="([%d.]+)"') end
    assert.is_true(width(wide) > width(narrow) + 60)
    assert.matches('textLength="[%d.]+"', wide)
  end)

  it("takes its colour from the value, or from the query", function()
    assert.matches("#2da44e", draw "build/passing.svg")
    assert.matches("#cf222e", draw "build/failing.svg")
    assert.matches("#bf8700", draw "coverage/75%25.svg")
    assert.matches("#8250df", draw "a/b.svg?color=purple")
    assert.matches("#123456", draw "a/b.svg?color=123456")
    local res = app:get "/badge/a/b.svg?color=nocolour"
    assert.equal(400, res.status)
    assert.equal("color", res:json().field)
  end)

  it("is safe with any text, and refuses what is too long or no text", function()
    local svg = draw "%3Cscript%3E/%22%26%27.svg"
    assert.is_nil(svg:find "<script")
    assert.matches("&quot;&amp;&#39;", svg)
    assert.equal(400, app:get("/badge/a/" .. ("x"):rep(101) .. ".svg").status)
    assert.equal(400, app:get("/badge/a/%01.svg").status)
    assert.equal(404, app:get("/badge/a/b.png").status)
    assert.equal(404, app:get("/badge/a").status)
  end)

  it("is a template function too", function()
    assert.equal(201, app:post("/api/session", { json = {
      session_id = "live", template = '{{ badge(label="build", value=state) }}', args = { state = "up" },
    } }).status)
    assert.matches('^<svg xmlns.*aria%-label="build: up".*#2da44e', app:get("/svg/live").body)
    app:put("/api/session/live", { json = { args = { state = "down" } } })
    assert.matches("#cf222e", app:get("/svg/live").body)
  end)

  it("draws many different ones without growing for ever", function()
    for i = 1, 300 do draw("n/" .. i .. ".svg") end
    assert.is_true(app:metric 'lunacast_lua_memory_bytes{worker="0"}' < 20e6)
  end)
end)
