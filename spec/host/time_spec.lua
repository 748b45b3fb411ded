-- host.time: clocks and waiting.
local task = require "host.task"
local time = require "host.time"


describe("host.time", function()
  it("sleeps at least as long as asked, while others go on", function()
    local order = {}
    task.spawn(function()
      time.sleep(0.02)
      order[#order + 1] = "short"
    end)
    local began = time.monotonic()
    time.sleep(0.1)
    order[#order + 1] = "long"
    assert.is_true(time.monotonic() - began >= 0.1)
    assert.same({ "short", "long" }, order)
  end)

  it("knows Unix time", function()
    assert.is_true(math.abs(time.now() - os.time()) < 2)
  end)

  it("writes RFC 3339", function()
    assert.equal("2023-11-14T22:13:20Z", time.iso8601(1700000000))
    assert.equal("2023-11-14T22:13:20.250Z", time.iso8601(1700000000.25))
    assert.equal("1969-12-31T23:59:59.500Z", time.iso8601(-0.5))
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d[.%d]*Z$", time.iso8601())
  end)

  it("raises for times that are none", function()
    assert.has_error(function() time.sleep(-1) end)
    assert.has_error(function() time.sleep(0 / 0) end)
    assert.has_error(function() time.sleep "soon" end)
    assert.has_error(function() time.iso8601(1e300) end)
    assert.has_error(function() time.iso8601(0 / 0) end)
  end)
end)
