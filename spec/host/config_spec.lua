-- host.config as a script sees it.
local config = require "host.config"


describe("host.config", function()
  it("gives settings in seconds, bytes and lists", function()
    assert.equal(60, config.get "max_fps")
    assert.equal(30, config.get "drain")
    assert.equal(65536 * 1024, config.get "lua.memory")
    assert.same({ "127.0.0.1:3000" }, config.get "listen")
    assert.equal(false, config.get "dev")
  end)

  it("raises for a name that does not exist", function()
    assert.has_error(function() config.get "max_fbs" end)
  end)

  it("is read-only", function()
    assert.has_error(function() config.get = nil end)
    assert.has_error(function() config.app.title = "x" end)
  end)
end)
