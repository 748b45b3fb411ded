-- Changes of one value by many, on both stores.
local stores = require "spec.support.stores"

local PRELUDE = [[
local change = require "web.change"
local store = require "host.store"
local task = require "host.task"
local time = require "host.time"
local function count(state)
  state = state or { n = 0 }
  state.n = state.n + 1
  return state
end
]]


for name, environment in pairs(stores.drivers) do
  describe("a change, " .. name, function()
    local function passes(code)
      stores.run(environment(), PRELUDE .. code)
    end

    it("makes a value where there is none, and returns it as it is then", function()
      passes [[
        same(1, assert(change("visits", count)).n)
        same(2, assert(change("visits", count)).n)
        same('{"n":2}', (store.get "visits"))
      ]]
    end)

    it("loses none of many at once", function()
      passes [[
        local done, TASKS, TIMES = 0, 10, 10
        for _ = 1, TASKS do
          task.spawn(function()
            for _ = 1, TIMES do assert(change("visits", count)) end
            done = done + 1
          end)
        end
        while done < TASKS do time.sleep(0.01) end
        same('{"n":100}', (store.get "visits"))
      ]]
    end)

    it("begins anew with what is there when another was faster", function()
      passes [[
        local seen = {}
        local value = change("visits", function(state)
          seen[#seen + 1] = state and state.n or 0
          if #seen == 1 then assert(store.set("visits", '{"n":7}')) end
          return count(state)
        end)
        same("0,7", table.concat(seen, ","))
        same(8, value.n)
      ]]
    end)

    it("leaves the value when the function returns nil", function()
      passes [[
        same(nil, (change("visits", function() end)))
        same(nil, (store.get "visits"))
        assert(change("visits", count))
        local _, version = store.get "visits"
        same(1, change("visits", function(state) state.n = 9 end).n)
        same(version, select(2, store.get "visits"))
      ]]
    end)

    it("gives the value the life that is asked for", function()
      passes [[
        assert(change("visits", count, { ttl = 100 }))
        local left = store.ttl "visits"
        same(true, left > 90 and left <= 100, left)
        assert(change("visits", count))
        same(true, store.ttl "visits" <= 100)
      ]]
    end)

    it("passes errors of the function and of the store on", function()
      passes [[
        local ok, message = pcall(change, "visits", function() error("no", 0) end)
        same(false, ok)
        same("no", message)
        local value, why, code = change(("k"):rep(2000), count)
        same(nil, value)
        same("too_large", code, why)
      ]]
    end)
  end)
end


describe("a change, without a store", function()
  it("says that it is away", function()
    stores.run({ REDIS_URL = "redis://127.0.0.1:1" }, PRELUDE .. [[
      local value, _, code = change("visits", count)
      same(nil, value)
      same("unavailable", code)
    ]])
  end)
end)
