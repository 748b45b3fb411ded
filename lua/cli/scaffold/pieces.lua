-- Pieces of an application, each with its spec: `lunacast new route NAME` and the like. Pieces of
-- different kinds may have the same name.
local ROUTE = [[
local web = require "web"

return {
  path = "/@NAME@/{id}",
  GET = function(req)
    return web.json { id = req.params.id }
  end,
}
]]

local ROUTE_SPEC = [[
local test = require "host.test"

describe("/@NAME@", function()
  it("answers with the id", function()
    local res = test.app():get "/@NAME@/7"
    assert.equal(200, res.status)
    assert.equal("7", res:json().id)
  end)
end)
]]

local FILTER = [[
-- {{ value | @NAME@ }}: the text in brackets; `with=` chooses others.
---@param value any
---@param args { with: string? }
---@return string
return function(value, args)
  local brackets = args.with or "[]"
  return brackets:sub(1, 1) .. tostring(value) .. brackets:sub(-1)
end
]]

local FILTER_SPEC = [[
local filter = require "filters.@NAME@"

describe("the filter @NAME@", function()
  it("puts brackets around a value", function()
    assert.equal("[1]", filter(1, {}))
    assert.equal("(x)", filter("x", { with = "()" }))
  end)
end)
]]

local MIDDLEWARE = [[
-- Around a handler: before it, instead of it (return another answer), or after it. In a route:
-- middleware = { "@NAME@" }
local web = require "web"

---@param req web.Request
---@param next web.Handler
---@return web.Response
return function(req, next)
  local res = next(req)
  return web.with(res, { ["X-@TITLE@"] = req.method })
end
]]

local MIDDLEWARE_SPEC = [[
local middleware = require "middleware.@NAME@"

describe("the middleware @NAME@", function()
  it("adds its header to the answer", function()
    local res = middleware({ method = "GET" }, function() return { status = 200, body = "x" } end)
    assert.equal("GET", res.headers["X-@TITLE@"])
    assert.equal("x", res.body)
  end)
end)
]]

local COMMAND = [[
return {
  summary = "says hello",
  usage = "@NAME@ [NAME] [--loud]",
  words = { 0, 1 },
  options = { { "loud", help = "in capitals" } },
  examples = { "lunacast @NAME@ ada --loud" },
  run = function(call)
    local text = "hello " .. (call.words[1] or "world")
    call:say("%s", call.options.loud and text:upper() or text)
  end,
}
]]

local COMMAND_SPEC = [[
local command = require "commands.@NAME@"

describe("the command @NAME@", function()
  it("says hello", function()
    local said
    local call = { words = { "ada" }, options = { loud = true } }
    function call:say(text, ...) said = text:format(...) end -- luacheck: ignore 212
    command.run(call)
    assert.equal("HELLO ADA", said)
  end)
end)
]]

local PLUGIN = [[
local web = require "web"

return {
  name = "@NAME@",
  version = "0.1",
  summary = "what the plugin does",
  config = {
    greeting = { type = "string", default = "hello" },
  },
  setup = function(plugin, config)
    plugin:route {
      path = "/@NAME@",
      GET = function()
        return web.text(config.greeting)
      end,
    }
  end,
}
]]

local PLUGIN_SPEC = [[
local test = require "host.test"

local function read(path)
  local f <close> = assert(io.open(test.folder .. "/" .. path))
  return f:read "a"
end

describe("the plugin @NAME@", function()
  it("answers with its greeting", function()
    local app = test.app { files = {
      ["config.lua"] = "return { plugins = { { '@NAME@', greeting = 'hi' } } }",
      ["plugins/@NAME@/init.lua"] = read "plugins/@NAME@/init.lua",
    } }
    assert.equal("hi", app:get("/@NAME@").body)
  end)
end)
]]

local PLUGIN_README = [[
# @NAME@

What it does, and how it is switched on:

    return { plugins = { { "@NAME@", greeting = "hi" } } } -- config.lua

| setting | default | what |
|---|---|---|
| `greeting` | `"hello"` | what `/@NAME@` answers |
]]

---@type table<string, { files: table<string, string>, next: string }>
return {
  route = {
    files = { ["lua/routes/@NAME@.lua"] = ROUTE, ["spec/@NAME@_spec.lua"] = ROUTE_SPEC },
    next = "it answers /@NAME@/7",
  },
  filter = {
    files = { ["lua/filters/@NAME@.lua"] = FILTER, ["spec/@NAME@_filter_spec.lua"] = FILTER_SPEC },
    next = "templates can say {{ value | @NAME@ }}",
  },
  middleware = {
    files = {
      ["lua/middleware/@NAME@.lua"] = MIDDLEWARE,
      ["spec/@NAME@_middleware_spec.lua"] = MIDDLEWARE_SPEC,
    },
    next = 'name it in a route: middleware = { "@NAME@" }',
  },
  command = {
    files = {
      ["lua/commands/@NAME@.lua"] = COMMAND, ["spec/@NAME@_command_spec.lua"] = COMMAND_SPEC,
    },
    next = "run it: lunacast @NAME@ ada --loud",
  },
  plugin = {
    files = {
      ["plugins/@NAME@/init.lua"] = PLUGIN, ["plugins/@NAME@/README.md"] = PLUGIN_README,
      ["spec/@NAME@_plugin_spec.lua"] = PLUGIN_SPEC,
    },
    next = 'switch it on in config.lua: plugins = { "@NAME@" }',
  },
}
