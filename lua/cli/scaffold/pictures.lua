-- A live picture: a number that everybody sees change, and that survives a restart.
return {
  ["README.md"] = [[
# @NAME@

A counter as a live picture: every page that shows it changes the moment somebody counts.

    lunacast dev     # http://127.0.0.1:3000/ ; a saved file is live, the page follows
    lunacast test    # runs spec/
    lunacast check   # before you commit

| file | what |
|---|---|
| `templates/counter.svg` | the picture |
| `lua/counter.lua` | the number, and its picture |
| `lua/topics/counter.lua` | where the newest picture comes from when a viewer comes |
| `lua/routes/counter.lua`, `index.lua` | the addresses |
| `public/index.html` | the page |
]],
  ["config.lua"] = [[
-- Settings; `lunacast config` lists all with their values.
return {
  max_fps = 30,
  app = { title = "@NAME@" },
}
]],
  ["lua/counter.lua"] = [[
-- The counter: a number in the store, and the picture of it.
local config = require "host.config"
local hub = require "host.hub"
local store = require "host.store"
local web = require "web"

local counter = { TOPIC = "counter" }

local function picture(n)
  return web.render("counter.svg", { n = n, title = config.app.title }).body
end


--- The picture now, and its version; nil, message, code when the store is away.
function counter.read()
  local value, message, code = store.get "counter"
  if not value and code then return nil, message, code end
  local n = math.tointeger(tonumber(value)) or 0
  return picture(n), n + 1 -- versions begin at 1
end


--- Counts, and shows it to everybody who looks.
function counter.add()
  local n, message, code = store.incr "counter"
  if not n then web.throw_world(message, code, "the counter can't be changed now") end
  hub.publish(counter.TOPIC, picture(n), { version = n + 1 })
  return n
end

return counter
]],
  ["lua/topics/counter.lua"] = [[
local counter = require "counter"

return {
  prefixes = { counter.TOPIC },
  read = counter.read,
}
]],
  ["lua/routes/index.lua"] = [[
local web = require "web"

return {
  path = "/",
  GET = function(req)
    return web.file(req, "public/index.html")
  end,
}
]],
  ["lua/routes/counter.lua"] = [[
local counter = require "counter"
local topics = require "web.topics"
local web = require "web"

return {
  {
    path = "/counter", -- the live picture
    GET = function()
      local watch, message, code = topics.open(counter.TOPIC)
      if not watch then web.throw_world(message, code, "the counter can't be read now") end
      return web.mixed(counter.TOPIC, { watch = watch })
    end,
  },
  {
    path = "/count",
    POST = function()
      return web.json { n = counter.add() }
    end,
  },
}
]],
  ["templates/counter.svg"] = [[
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 160" font-family="system-ui, sans-serif">
  <rect width="320" height="160" rx="18" fill="#161c25"/>
  <text x="24" y="40" font-size="16" fill="#8d97a8">{{ title }}</text>
  <text x="160" y="118" font-size="72" fill="#7aa7ff" text-anchor="middle">{{ n }}</text>
</svg>
]],
  ["public/index.html"] = [[
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>@NAME@</title>
<style>
  body { display: grid; place-items: center; gap: 1rem; padding: 2rem; font: 16px system-ui }
  img { width: min(32rem, 90vw) }
  button { font: inherit; padding: .6em 1.4em }
</style>
<img src="/counter" alt="the counter">
<form method="post" action="/count" target="answer"><button>Count</button></form>
<iframe name="answer" hidden></iframe>
</html>
]],
  ["spec/counter_spec.lua"] = [[
local test = require "host.test"

describe("the counter", function()
  it("shows a new number to everybody who looks", function()
    local app = test.app()
    local view = app:stream "/counter"
    assert.matches(">0</text>", view:next())
    assert.equal(200, app:post("/count").status)
    assert.matches(">1</text>", view:next())
  end)

  it("has a page with the picture", function()
    assert.matches('<img src="/counter"', test.app():get("/").body)
  end)
end)
]],
}
