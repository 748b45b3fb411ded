-- What beginners do wrong: each is told what, where, and what to do.
local json = require "host.json"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

-- What a handler does, and what its answer in development says.
local HANDLERS = {
  ["forgets return"] = { "web.json { a = 1 }",
    "^GET /1: a route must return a response .-, it returned nil: is a `return` missing" },
  ["returns a text"] = { "return 'hello'",
    "^GET /1: a route must return a response %(web.text, web.json ...%), it returned string" },
  ["returns a function"] = { "return web.text", "^GET /1: .- it returned function" },
  ["returns its data"] = { "return { name = 'ada' }",
    "^GET /1: a response has no field name; web.json makes JSON of a table" },
  ["returns a list"] = { "return { 1, 2 }", "^GET /1: a response has no field 1; web.json makes JSON of a table" },
  ["puts a table into the body"] = { "return { body = { 1 } }", "a response's body must be a string, got table" },
  ["puts a text into headers"] = { "return { headers = 'x' }", "a response's headers must be a table, got string" },
  ["gives web.text nothing"] = { "return web.text(req.params.nmae)", "^web.text takes a string, got nil" },
  ["gives web.html a table"] = { "return web.html(200, {})", "^web.html takes a string, got table" },
  ["redirects to nowhere"] = { "return web.redirect()", "^web.redirect takes a location, got nil" },
  ["uses what is not there"] = { "return web.text(req.session.user)",
    "routes/a.lua:2: attempt to index a nil value %(field 'session'%)" },
  ["names a template that is not there"] = { "return web.render('nope.svg', {})",
    "templates/nope.svg: no template 'nope.svg'" },
}

-- A route file, and why it is refused.
local FILES = {
  ["without return"] = { "local x = {} x.path = '/x'",
    "lua/routes/b.lua: a route file returns a table, it returned nothing" },
  ["with a method in small letters"] = { "return { path = '/x', Get = print }",
    "lua/routes/b.lua: Get has no meaning in the route /x; methods are GET" },
  ["without a path"] = { "return { GET = function() end }", "lua/routes/b.lua: a route needs a path" },
  ["with a relative path"] = { "return { path = 'x', GET = print }",
    "lua/routes/b.lua: a route needs a path that begins with \"/\", got x" },
  ["without a method"] = { "return { path = '/x', handler = print }",
    "lua/routes/b.lua: the route /x answers no method" },
  ["with middleware that is no list"] = { "return { path = '/x', middleware = 'auth', GET = print }",
    "lua/routes/b.lua: middleware is a list of names and functions, such as { \"bearer\" }, got a string" },
  ["with middleware that is not there"] = { "return { path = '/x', middleware = { 'auht' }, GET = print }",
    "lua/routes/b.lua: there is no middleware \"auht\", no file lua/middleware/auht.lua" },
}

describe("a beginner who", function()
  local app

  setup(function()
    local routes = {}
    for _, case in pairs(HANDLERS) do
      routes[#routes + 1] = ("{ path = '/%d', GET = function(req) local _ = req\n%s end }"):format(#routes + 1, case[1])
      case.path = "/" .. #routes
    end
    app = server.start { workers = 1, set = { dev = true, watch = false }, files = {
      ["lua/routes/a.lua"] = "local web = require 'web' return {" .. table.concat(routes, ",\n") .. "}" } }
  end)
  teardown(function() app:stop() end)

  for what, case in pairs(HANDLERS) do
    it(what .. " is told so", function()
      local res = app:get(case.path)
      assert.equal(500, res.status)
      assert.matches(case[2]:gsub("/1", case.path):gsub("a.lua:2", "a.lua:%%d+"), res.body)
    end)
  end

  for what, case in pairs(FILES) do
    it("writes a route file " .. what .. " is told so", function()
      server.write(app.folder, { ["lua/routes/b.lua"] = case[1] })
      app.process:kill "sighup"
      wait.till(function()
        for line in app.process.err:gmatch '{[^\n]*"the new scripts are wrong[^\n]*}' do
          if json.decode(line).error:find(case[2], 1, true) then return true end
        end
      end, case[2])
    end)
  end
end)
