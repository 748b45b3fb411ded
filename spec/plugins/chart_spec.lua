-- The plugin chart, and the page that is made of it.
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local charts = require("plugins.chart").setup { template_function = function() end }

-- Well-formed, and no number that a browser would refuse.
local function check(svg)
  assert.matches("^<svg [^>]*>.*</svg>$", svg)
  assert.is_nil(svg:lower():find "[^%a]nan[^%a]", svg)
  assert.is_nil(svg:lower():find "[^%a]inf[^%a]", svg)
  assert.is_true(#svg < 400000, #svg)
  local open = {}
  for slash, name, rest in svg:gmatch "<(/?)(%a+)([^>]*)>" do
    if slash == "/" then
      assert.equal(name, table.remove(open))
    elseif not rest:find "/$" then
      open[#open + 1] = name
    end
  end
  assert.equal(0, #open)
  for name, number in svg:gmatch ' ([cxyr]+)="([^"]*)"' do assert.is_truthy(tonumber(number), name .. number) end
  for path in svg:gmatch ' d="([^"]*)"' do
    for number in path:gmatch "[^%s%aZ]+" do assert.is_truthy(tonumber(number), path:sub(1, 200)) end
  end
  return svg
end

local EXTREMES = {
  {}, { 0 }, { 5 }, { -5 }, { 0, 0, 0 }, { 0 / 0 }, { 1 / 0, -1 / 0 }, { 1e308, -1e308 }, { 1e-308, 2e-308 },
  { 5e-324 }, { 1, false, 2 }, { "a", {}, true }, { math.maxinteger, math.mininteger }, { 1, 1 + 1e-12 },
  { 0 / 0, 1, 0 / 0, 2 }, { -1, -2, -3 }, { 123456789012 },
}


describe("a chart", function()
  it("is a valid picture of bounded size whatever its values are", function()
    local many = {}
    for i = 1, 100000 do many[i] = math.sin(i) end
    for _, values in ipairs { many, table.unpack(EXTREMES) } do
      check(charts.line { values = values })
      check(charts.bar { values = values })
      check(charts.sparkline { values = values })
      check(charts.gauge { value = values[1] })
      check(charts.line { series = { { name = "a", values = values }, { name = "b", values = { 1, 2 } } } })
    end
    for _, v in ipairs { 0 / 0, 1 / 0, -1 / 0, 1e308, -1e308 } do
      check(charts.line { values = { 1, 2 }, min = v })
      check(charts.line { values = { 1, 2 }, min = -1e308, max = 1e308 })
      check(charts.gauge { value = v, min = -1e308, max = 1e308 })
      check(charts.sparkline { values = { 1 }, max = v })
    end
  end)

  it("draws the newest value at the right edge, and a gap where there is none", function()
    local svg = check(charts.line { values = { 0, 50, 100, false, 100 }, width = 300, height = 150 })
    local _, paths = svg:gsub('fill="none"', "")
    assert.equal(2, paths)
    assert.matches('<circle cx="286"', svg)
  end)

  it("has round numbers beside it", function()
    local svg = charts.line { values = { 3, 87 } }
    for _, tick in ipairs { ">0<", ">25<", ">50<", ">75<", ">100<" } do
      assert.is_truthy(svg:find(tick, 1, true), tick)
    end
    assert.is_truthy(charts.line({ values = { 0, 2500000 } }):find(">1M<", 1, true))
    assert.is_truthy(charts.line({ values = { 0.001, 0.004 } }):find(">0.002<", 1, true))
  end)

  it("escapes every text, and takes no colour that is none", function()
    local svg = check(charts.line { values = { 1 }, title = '<script>"&', labels = { "<b>" }, unit = "<i>",
      series = nil })
    assert.is_nil(svg:find "<script")
    assert.is_nil(svg:find "<b>")
    assert.is_nil(svg:find "<i>")
    assert.has_error(function() charts.line { values = {}, color = 'red" onload="x' } end)
    assert.has_error(function() charts.line { values = {}, width = 1e9 } end)
    assert.has_error(function() charts.line { values = {}, theme = "pink" } end)
  end)

  it("is bounded in its labels, names and series", function()
    local labels, series = {}, {}
    for i = 1, 5000 do labels[i] = ("label %d "):format(i):rep(50) end
    local svg = check(charts.bar { values = { 1, 2 }, labels = labels, title = ("x"):rep(1e6) })
    assert.is_true(#svg < 20000)
    for i = 1, 9 do series[i] = { name = "s", values = {} } end
    assert.has_error(function() charts.line { series = series } end)
  end)

  it("stands in a session's picture, and follows its arguments", function()
    local app = server.start { workers = 1 }
    assert.equal(201, app:post("/api/session", { json = {
      session_id = "c", template = "{{ chart_gauge(value=v, title='CPU', unit='%') }}", args = { v = 10 },
    } }).status)
    assert.matches(">10%%<", app:get("/svg/c").body)
    app:put("/api/session/c", { json = { args = { v = 90 } } })
    assert.matches(">90%%<", app:get("/svg/c").body)
    local res = app:post("/api/session", { json = { session_id = "d", template = "{{ chart_line(values=5) }}" } })
    assert.equal(422, res.status)
    assert.matches("chart_line", res:json().error)
    app:stop()
  end)
end)


describe("the metrics page", function()
  it("shows charts, plugins and totals, and keeps its history over a reload", function()
    local app = server.start { workers = 1, files = { ["config.lua"] =
      'return { plugins = { { "basic-metrics-page", seconds = 1 }, "chart" } }' } }
    wait.till(function() return select(2, app:get("/metrics/page").body:gsub('<path d="M[^"]*L', "")) > 6 end,
      "two samples")
    local res = app:get "/metrics/page"
    assert.equal("no-store", res.headers["cache-control"])
    for _, text in ipairs { ">Requests<", ">Memory<", "basic-metrics-page", "lunacast_connections_total" } do
      assert.is_truthy(res.body:find(text, 1, true), text)
    end
    app.process:kill "sighup"
    app:logged "the scripts were reloaded"
    assert.is_true(select(2, app:get("/metrics/page").body:gsub('<path d="M[^"]*L', "")) > 6)
    app:stop()
  end)
end)
