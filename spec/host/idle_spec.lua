-- A server that has nothing to do rests: it wakes for its once-a-second chores, and for nothing else.
local server = require "spec.support.server"
local wait = require "spec.support.wait"

-- How often its threads have gone to sleep.
local function sleeps(app)
  local total = 0
  local list = assert(io.popen(("cat /proc/%d/task/*/status"):format(app.process.pid)))
  for line in list:lines() do
    total = total + (tonumber(line:match "^voluntary_ctxt_switches:%s*(%d+)") or 0)
  end
  list:close()
  return total
end


local function application()
  local folder = server.folder()
  server.write(folder, { ["app/config.lua"] = "return {}" })
  return folder .. "/app"
end


describe("an idle server", function()
  it("wakes some ten times a second, not hundreds", function()
    -- below a folder of its own: the one above the application's is watched, and others use /tmp
    local app = server.start { workers = 2, folder = application() }
    wait.pause(2)
    local before, began = sleeps(app), wait.now()
    wait.pause(4)
    local a_second = (sleeps(app) - before) / (wait.now() - began)
    assert.is_true(a_second < 40, ("%.0f a second"):format(a_second))
    app:stop()
  end)

  it("ends an endless loop that comes after a rest", function()
    local app = server.start { workers = 2, files = {
      ["lua/routes/loop.lua"] = "return { path = '/loop', GET = function() while true do end end }" } }
    for _ = 1, 3 do
      wait.pause(0.5)
      assert.equal(500, app:get("/loop").status)
    end
    assert.equal(3, app:metric "lunacast_scripts_stopped_total")
    app:stop()
  end)
end)
