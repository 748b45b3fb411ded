-- What development mode adds to the application: /_dev lists what it has and what is wrong.
local dev = require "web.dev"
local file = require "host.file"
local hub = require "host.hub"
local inventory = require "web.inventory"
local overview = require "pictures.overview"
local templates = require "web.templates"
local web = require "web"

local NO_STORE = { ["Cache-Control"] = "no-store" }
local POLICY = "default-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:"
local SESSIONS, TOPICS = 200, 200


local function topics()
  local list = {}
  for _, topic in ipairs(hub.topics()) do
    if #list == TOPICS then break end
    list[#list + 1] = { topic = topic, subscribers = hub.count(topic) }
  end
  table.sort(list, function(a, b) return a.topic < b.topic end)
  return list
end


-- With times as whole seconds, as the filter `date` wants them.
local function state()
  local found = dev.state()
  found.since = math.floor(found.since)
  found.failed_since = found.failed_since and math.floor(found.failed_since)
  return found
end


local function everything()
  local all = inventory()
  all.state = state()
  all.sessions = overview.list(nil, SESSIONS)
  all.live_topics = topics()
  return all
end


local function page(args)
  local text, err = templates.environment():render("dev/page.html", args)
  if not text then error("templates/" .. tostring(err)) end
  local res = web.html(text)
  res.headers = { ["Content-Security-Policy"] = POLICY }
  return res
end


return {
  {
    path = "/_dev",
    GET = function(req)
      local all = everything()
      if (req:header "accept" or ""):find("application/json", 1, true) then return web.json(all) end
      return page(all)
    end,
  },
  {
    path = "/_dev/client.js",
    GET = function()
      local text = assert(file.read "templates/dev/client.js")
      return { type = "text/javascript; charset=utf-8", headers = NO_STORE, body = text }
    end,
  },
  {
    path = "/_dev/events",
    GET = function()
      local watch, message, code = hub.watch(dev.TOPIC)
      if not watch then web.throw_world(message, code) end
      dev.tell()
      return web.sse(dev.TOPIC, { watch = watch, headers = NO_STORE })
    end,
  },
}
