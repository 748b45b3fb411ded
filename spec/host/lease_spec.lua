-- Leases on both stores: one holder at a time, whoever asks. Each spec is a script of its own, run by
-- the real binary.
local stores = require "spec.support.stores"

local PRELUDE = [[
local lease = require "web.lease"
local store = require "host.store"
local time = require "host.time"
]]


for name, environment in pairs(stores.drivers) do
  describe("a lease, " .. name, function()
    local function passes(code)
      stores.run(environment(), PRELUDE .. code)
    end

    it("goes to the first who asks, and names it to others", function()
      passes [[
        local mine = assert(lease.take("clean", 30, { holder = "a" }))
        same(true, mine:held())
        local other, holder, code = lease.take("clean", 30, { holder = "b" })
        same(nil, other)
        same("a", holder)
        same(nil, code)
        assert(lease.take("another", 30, { holder = "b" }))
      ]]
    end)

    it("is free again when it was given back", function()
      passes [[
        local mine = assert(lease.take("clean", 30))
        same(true, mine:release())
        same(false, mine:held())
        same(false, (mine:release()))
        assert(lease.take("clean", 30))
      ]]
    end)

    it("ends by itself, and can't be prolonged or given back then", function()
      passes [[
        local mine = assert(lease.take("clean", 0.05))
        local other
        repeat
          time.sleep(0.02)
          other = lease.take("clean", 30)
        until other
        same(false, mine:held())
        same("lost", select(3, mine:renew()))
        same(false, (mine:release()))
        same(true, other:renew())
      ]]
    end)

    it("lasts as long as it is renewed", function()
      passes [[
        local mine = assert(lease.take("clean", 4))
        for _ = 1, 10 do
          time.sleep(0.5)
          same(true, mine:renew())
        end
        same(nil, (lease.take("clean", 4)))
      ]]
    end)

    it("comes back to a holder that has a name", function()
      passes [[
        local first = assert(lease.take("clean", 30, { holder = "node 1" }))
        local again = assert(lease.take("clean", 30, { holder = "node 1" }))
        same(true, again:renew())
        same(true, first:renew())
      ]]
    end)

    it("has one winner among many who ask at once", function()
      passes [[
        local task = require "host.task"
        local won, asked = 0, 0
        for _ = 1, 20 do
          task.spawn(function()
            if lease.take("clean", 30) then won = won + 1 end
            asked = asked + 1
          end)
        end
        while asked < 20 do time.sleep(0.01) end
        same(1, won)
      ]]
    end)
  end)
end
