-- Rules of topics: which one counts, who may do what, and what is wrong with a rule.
local fakes = require "spec.support.fakes"


describe("rules of topics", function()
  local rules, world

  before_each(function()
    world = fakes.install {}
    package.loaded["web.rules"] = nil
    rules = require "web.rules"
  end)

  local function add(by_pattern)
    local undo = rules.add(by_pattern, "a file")
    rules.apply()
    return undo
  end

  it("go by the exact name, then by the longest beginning", function()
    add { ["*"] = { rate = 1 }, ["news.*"] = { rate = 2 }, ["news.sport.*"] = { rate = 3 },
      ["news.sport.x"] = { rate = 4 } }
    assert.equal(1, rules.find("other").rate)
    assert.equal(2, rules.find("news.").rate)
    assert.equal(3, rules.find("news.sport.y").rate)
    assert.equal(4, rules.find("news.sport.x").rate)
  end)

  it("are handed to the hub, and can be taken away", function()
    local undo = add { a = { mode = "log" } }
    assert.equal("a", world.hub.rule_list[1].pattern)
    undo()
    rules.apply()
    assert.same({}, world.hub.rule_list)
    assert.is_nil(rules.find "a")
  end)

  it("allow everybody what they say nothing about", function()
    add { a = { rate = 1 }, b = { publish = true } }
    assert.is_true(rules.may("publish", "a"))
    assert.is_true(rules.may("publish", "b"))
    assert.is_true(rules.may("subscribe", "c"))
  end)

  it("allow by user, by claims, by function", function()
    add {
      closed = { publish = false },
      users = { publish = "user" },
      roles = { publish = { role = { "editor", "admin" }, tenant = "t" } },
      asked = { publish = function(identity, topic)
        return identity.user == "ada", "not you on " .. topic, "not_ada"
      end },
    }
    local ada = { user = "ada", tenant = "t", claims = { role = "editor" } }
    local bob = { user = "bob", tenant = "t", claims = { role = "reader" } }
    local code = select(3, rules.may("publish", "closed", ada))
    assert.equal("forbidden", code)
    assert.is_true(rules.may("publish", "users", bob))
    assert.is_false((rules.may("publish", "users")))
    assert.is_true(rules.may("publish", "roles", ada))
    assert.is_false((rules.may("publish", "roles", bob)))
    assert.is_false((rules.may("publish", "roles", { user = "eve", claims = { role = "admin" } })))
    assert.is_true(rules.may("publish", "asked", ada))
    assert.same({ false, "not you on asked", "not_ada" }, { rules.may("publish", "asked", bob) })
  end)

  it("allow a pattern only who may have all of its topics", function()
    add { ["news.*"] = { rate = 1 }, ["news.board.*"] = { subscribe = "user" } }
    assert.is_false((rules.may("subscribe", "news.*", {})))
    assert.is_false((rules.may("subscribe", "news.board.x*", {})))
    assert.is_true(rules.may("subscribe", "news.other*", {}))
    assert.is_true(rules.may("subscribe", "news.*", { user = "ada" }))
  end)

  it("say what is wrong with them, and where", function()
    for message, rule in pairs {
      ["there is no colour"] = { colour = 1 },
      ["mode must be"] = { mode = "queue" },
      ["rate must be a number"] = { rate = "fast" },
      ["history.messages must be a whole number"] = { history = { messages = 1.5 } },
      ["history has no size"] = { history = { size = 1 } },
      ["with a history"] = { history = {}, mode = "latest" },
      ["pause needs a history"] = { slow = { ws = "pause" } },
      ["not sleep"] = { slow = "sleep" },
      ["max_wait must be a number of seconds"] = { max_wait = 0 },
      ["publish and subscribe are"] = { publish = "editors" },
    } do
      local ok, err = pcall(rules.add, { ["a.*"] = rule }, "config.lua, topics")
      assert.is_false(ok)
      assert.matches("config.lua, topics: the rule of a.*:", err, 1, true)
      assert.matches(message, err, 1, true)
    end
    assert.is_false((pcall(rules.add, { ["a*b"] = {} }, "x")))
    assert.is_false((pcall(rules.add, { [1] = {} }, "x")))
  end)
end)
