-- Scripts that keep something of every request.
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local LEAK = [[
local kept = {}
return { path = "/leak", GET = function()
  kept[#kept + 1] = ("x"):rep(12000) .. #kept
  return require("web").text(tostring(#kept))
end } ]]


describe("a script that leaks", function()
  it("is loaded anew before its memory is full, and no request fails", function()
    local app = server.start { workers = 1, set = { ["lua.memory"] = "24M", ["log.access"] = false },
      files = { ["lua/routes/leak.lua"] = LEAK } }
    local c = app:connect()
    local most, http = 0, require "spec.support.http"
    wait.till(function()
      wait.pause(0.02) -- what is left is looked at once a second
      for _ = 1, 5 do
        local res = http.ask(c, "GET", "/leak")
        assert.equal(200, res.status, res.body)
        local n = tonumber(res.body)
        if n < most then return true end
        most = n
      end
    end, "the scripts to be loaded anew", 200)
    assert.equal(1, app:metric "lunacast_vm_recycled_total")
    assert.is_table(app:logged "scripts hold almost all of lua.memory")
    app:stop()
  end)
end)
