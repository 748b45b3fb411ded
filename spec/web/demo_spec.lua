local App = require "spec.support.app"


describe("the demo", function()
  local app, stop

  -- Runs the start file until it has slept so many times.
  local function run(rounds)
    local left = rounds
    app.world.on_sleep = function()
      left = left - 1
      if left == 0 then error(stop) end
    end
    local ok, err = pcall(require "start.demo", { worker = 0 })
    assert.is_false(ok)
    assert.equal(stop, err)
  end

  before_each(function()
    stop = {}
    app = App.new { config = { demo = true } }
    app.world.metrics = { process_start_time_seconds = 1, lunacast_viewers = 2,
      process_resident_memory_bytes = 5 * 1024 * 1024 }
  end)

  it("does nothing unless it is switched on", function()
    app = App.new()
    require "start.demo" { worker = 0 }
    assert.is_nil(app.store.rows["session:demo"])
  end)

  it("draws a public session that never expires, once a second", function()
    local sent = 0
    app.store.before = function()
      sent = sent + 100
      app.world.metrics.lunacast_pictures_sent_total = sent
    end
    run(5)
    assert.is_nil(app.store.rows["session:demo"].expires)
    local res = app:get "/api/session/demo"
    assert.equal(200, res.status)
    local args = res.json.args
    assert.equal("2", args.tiles[1].value)
    assert.equal("5", args.tiles[3].value)
    assert.truthy(args.line:find("^M%d"))
    assert.equal(200, app:get("/svg/demo").status)
  end)

  it("comes back when somebody deletes or spoils it", function()
    run(2)
    app:delete "/api/session/demo"
    run(2)
    assert.equal(200, app:get("/svg/demo").status)
    app:delete "/api/session/demo"
    app:post("/api/session", { session_id = "demo", template = "<svg/>" })
    run(2)
    assert.truthy(app:get("/svg/demo").body:find("M", 1, true))
  end)

  it("is drawn by one node of several", function()
    app.store.set("lease:demo", "another")
    run(3)
    assert.is_nil(app.store.rows["session:demo"])
    app.store.delete "lease:demo"
    run(3)
    assert.truthy(app.store.rows["session:demo"])
  end)

  it("goes on after the store was away, and says so once", function()
    app.store.before = function() return "away", "unavailable" end
    run(5)
    local warned = 0
    for _, line in ipairs(app.world.logged) do
      if line.level == "warn" then warned = warned + 1 end
    end
    assert.is_true(warned <= 1)
    app.store.before = nil
    run(2)
    assert.truthy(app.store.rows["session:demo"])
  end)
end)


describe("a chart", function()
  it("is valid for every number", function()
    App.new()
    local chart = require "web.chart"
    for _, values in ipairs { {}, { 0 / 0 }, { math.huge, -math.huge, 1 }, { 1e308, 1e308 }, { -5, 5 },
      { 1, 2, 3 } } do
      local most = chart.most(values, 1)
      assert.is_true(most >= 1 and most < math.huge)
      for _, path in ipairs { chart.line(values, 100, 10, 20, most), chart.area(values, 100, 10, 20, most) } do
        assert.is_nil(path:find("[^MLVHZ%d%. -]"), path)
        for n in path:gmatch "%-?[%d.]+" do assert.is_true(tonumber(n) >= 0 and tonumber(n) <= 100) end
      end
    end
  end)

  it("is bounded", function()
    local chart = require "web.chart"
    local values = {}
    for i = 1, 100000 do values[i] = i end
    assert.is_true(#chart.line(values, 100, 10, 2000, 100000) < 40000)
  end)
end)


describe("the task that keeps the signing keys", function()
  it("makes them at start, and tries again while the store is away", function()
    local app = App.new()
    local stop, left = {}, 2
    app.store.before = function() return "away", "unavailable" end
    app.world.on_sleep = function()
      left = left - 1
      if left == 1 then app.store.before = nil end
      if left == 0 then error(stop) end
    end
    local ok, err = pcall(require "start.keys", { worker = 0 })
    assert.is_false(ok)
    assert.equal(stop, err)
    assert.truthy(app.store.rows["rsa:private_pem"])
    assert.equal(1, app.hub.watching)
  end)
end)
