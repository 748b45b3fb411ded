-- host.metrics as a script sees it.
local metrics = require "host.metrics"
local server = require "spec.support.server"


local function has(line)
  return ("\n" .. metrics.text()):find("\n" .. line .. "\n", 1, true) ~= nil
end


describe("host.metrics", function()
  it("gives the process's own numbers", function()
    assert.equal(1, metrics.get "lunacast_info")
    assert.is_true(metrics.get "process_resident_memory_bytes" > 1e6)
    assert.is_nil(metrics.get "no_such_metric")
  end)

  it("counts under labels, whatever their order", function()
    local jobs = metrics.counter("spec_jobs_total", "Jobs.")
    jobs:inc()
    jobs:inc(2, { kind = "a", size = "big" })
    metrics.counter("spec_jobs_total"):inc(3, { size = "big", kind = "a" })
    assert.is_true(has "spec_jobs_total 1")
    assert.is_true(has 'spec_jobs_total{kind="a",size="big"} 5')
    assert.equal(6, metrics.get "spec_jobs_total")
  end)

  it("sets gauges and observes times", function()
    metrics.gauge "spec_level":set(2.5)
    metrics.histogram "spec_seconds":observe(0.02)
    assert.is_true(has "spec_level 2.5")
    assert.is_true(has 'spec_seconds_bucket{le="0.01"} 0')
    assert.is_true(has 'spec_seconds_bucket{le="0.025"} 1')
    assert.is_true(has "spec_seconds_count 1")
  end)

  it("lets the framework count what only it knows", function()
    local before = metrics.get "lunacast_pictures_rendered_total"
    metrics.counter "lunacast_pictures_rendered_total":inc()
    assert.equal(before + 1, metrics.get "lunacast_pictures_rendered_total")
  end)

  it("raises for a bad name, another type, a falling counter and labels that are no texts", function()
    local jobs = metrics.counter "spec_jobs_total"
    assert.has_error(function() metrics.counter "bad name" end)
    assert.has_error(function() metrics.gauge "lunacast_mine" end)
    assert.has_error(function() metrics.gauge "spec_jobs_total" end)
    assert.has_error(function() jobs:inc(-1) end)
    assert.has_error(function() jobs:set(1) end)
    assert.has_error(function() jobs:inc(1, { kind = 5 }) end)
    assert.has_error(function() jobs:inc(1, { ["a-b"] = "x" }) end)
  end)

  it("holds no more series than the setting allows, and counts what it dropped", function()
    local app = server.start { workers = 1, set = { ["metrics.series"] = 100 }, files = {
      ["lua/routes/wide.lua"] = [[
        local wide = require("host.metrics").counter "wide_total"
        return { path = "/wide", POST = function()
          for i = 1, 500 do wide:inc(1, { i = tostring(i) }) end
          return require("web").empty()
        end }]],
    } }
    app:post "/wide"
    assert.is_true(app:metric "lunacast_metrics_dropped_total" >= 400)
    assert.equal(200, app:get("/health").status)
    app:stop()
  end)
end)
