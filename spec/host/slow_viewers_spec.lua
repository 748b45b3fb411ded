-- Many viewers, some of whom do not read: memory stays flat, readers end on the newest picture, and
-- who reads later gets whole pictures, in order, ending on the newest.
-- A kernel that was told to wait tries again after twice the time each time, so one that was stalled for a
-- minute may need a minute more to hear that it may go on: hence the long waits.
local http = require "spec.support.http"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local VIEWERS, STALLED, UPDATES = 1000, 100, 200
local RETRY = 180 -- seconds, at most
local PADDING = ("x"):rep(5000) -- so that a stalled viewer's kernel buffers are full early

local function number_of(picture)
  return tonumber(picture:match '^<svg id="(%d+)">x+</svg>$')
end


-- Reads what has come of a stream; the numbers of its whole pictures. Raises for half a picture.
local function numbers(view)
  local found = {}
  local text = view.wire:peek()
  local from = 1
  while true do
    local first, last = text:find("\r\n" .. view.opening, from, true)
    if not first then break end
    local n = number_of(text:sub(from, first - 1))
    assert.is_number(n, "half a picture: " .. text:sub(from, from + 60))
    found[#found + 1] = n
    from = last + 1
  end
  view.wire:consume(from - 1)
  return found
end


local function memory(app)
  return app:metric "process_resident_memory_bytes"
end


describe("a thousand viewers of whom a hundred never read", function()
  local app, views

  setup(function()
    app = server.start {
      set = { ["limits.write_stall"] = "10m", max_fps = 0, ["log.access"] = false },
      env = { ASAN_OPTIONS = "quarantine_size_mb=4:detect_leaks=1" }, -- freed memory is given back
    }
    app:post("/api/session", { json = {
      session_id = "a",
      template = '<svg id="{{ n }}">{{ padding }}</svg>',
      args = { n = 0, padding = PADDING },
    } })
    views = {}
    for i = 1, VIEWERS do
      views[i] = http.pictures(app, "/stream/a")
      if i <= STALLED then views[i].wire:pause() end
    end
  end)

  teardown(function() app:stop() end)

  it("see every reader end on the newest, with flat memory", function()
    local before = memory(app)
    local c = app:connect()
    for n = 1, UPDATES do
      local res = http.ask(c, "PATCH", "/api/session/a", { json = { args = { n = n } } })
      assert.equal(200, res.status)
      if n % 20 == 0 then for i = STALLED + 1, VIEWERS do views[i].seen = numbers(views[i]) end end
    end
    for i = STALLED + 1, VIEWERS do
      local view, last = views[i], nil
      wait.till(function()
        local found = numbers(view)
        last = found[#found] or last or (view.seen and view.seen[#view.seen])
        return last == UPDATES
      end, "viewer " .. i .. " to see the newest")
    end
    -- 100 viewers may hold one picture in the kernel's and one in our hands; a queue of 200 pictures
    -- each would be 100 MB.
    assert.is_true(memory(app) - before < 40e6, "memory grew by " .. memory(app) - before)
    assert.is_true(app:metric "lunacast_pictures_skipped_total" > 0)
    c:close()
  end)

  it("see those who stalled get whole pictures in order, ending on the newest", function()
    for i = 1, STALLED do
      local view, last = views[i], -1
      view.wire:resume()
      wait.till(function()
        for _, n in ipairs(numbers(view)) do
          assert.is_true(n > last, ("picture %d after %d"):format(n, last))
          last = n
        end
        return last == UPDATES
      end, "stalled viewer " .. i .. " to see the newest", RETRY)
    end
  end)

  it("are forgotten when they leave", function()
    for _, view in ipairs(views) do view:close() end
    wait.till(function() return app:metric "lunacast_viewers" == 0 end, "the viewers to be gone",
      RETRY)
  end)
end)
