-- What all requests share can't be changed by any of them: the global names, Lua's libraries, the
-- modules of lunacast and the metatables of its objects.
local server = require "spec.support.server"

-- Each must raise, with these words.
local WRITES = {
  { "string.foo = 1", "string is read%-only: .*'foo'" },
  { "string.format = nil", "string is read%-only" },
  { "table.concat = print", "table is read%-only" },
  { "math.pi = 3", "math is read%-only" },
  { "os.time = nil", "os is read%-only" },
  { "utf8.char, coroutine.wrap = nil, nil", "is read%-only" },
  { "print = nil", "assignment to global 'print'" },
  { "_G.print = nil", "assignment to global 'print'" },
  { "_ENV.surprise = 1", "assignment to global 'surprise'" },
  { "_G._G.string.foo = 1", "string is read%-only" },
  { "load('pairs = nil')()", "assignment to global 'pairs'" },
  { "load('string.x = 1', 'x', 't', { string = string })()", "string is read%-only" },
  { "local s = 'string.x = 1' load(function() local t = s s = nil return t end)()", "string is read%-only" },
  { "rawset(string, 'foo', 1)", "rawset: the table is read%-only" },
  { "rawset(_G, 'foo', 1)", "rawset: the table is read%-only" },
  { "rawset(_ENV, 'foo', 1)", "rawset: the table is read%-only" },
  { "setmetatable(string, {})", "protected metatable" },
  { "setmetatable(_G, nil)", "protected metatable" },
  { "setmetatable(require 'web', {})", "protected metatable" },
  { "table.insert(string, 1)", "string is read%-only" },
  { "table.insert(_G, 1)", "assignment to global" },
  { "table.move({ 1 }, 1, 1, 1, math)", "math is read%-only" },
  { "table.remove(setmetatable({}, { __newindex = string, __len = function() return 1 end }))",
    "string is read%-only" },
  { "table.sort(setmetatable({}, { __len = function() return 2 end, "
    .. "__index = function(_, i) return -i end, __newindex = table }))", "table is read%-only" },
  { "require('string').foo = 1", "string is read%-only" },
  { "require('_G').foo = 1", "assignment to global 'foo'" },
  { "require('web').text = nil", "web is read%-only" },
  { "require('web.errors').throw = nil", "web.errors is read%-only" },
  { "require('host.json').encode = nil", "host.json is read%-only" },
  { "require('host.json').array_mt.__index = {}", "host.json.array_mt is read%-only" },
  { "require('cjson').encode = nil", "cjson is read%-only" },
  { "require('host.hub').publish = nil", "host.hub is read%-only" },
  { "require('host.config').app.list[1] = 1", "host.config.app.list is read%-only: set it in config.lua" },
  { "require('web.drawing').PALETTE[1] = 1", "web.drawing.PALETTE is read%-only" },
  { "require('web.routes').static['GET /x'] = {}", "web.routes.static is read%-only" },
  { "require('web.routes'):add({ path = '/x', GET = print }, 'x', print)", "read%-only" },
  { "getmetatable(req).__index = nil", "read%-only" },
  { "getmetatable(require('host.json').decode '[]').__index = {}", "read%-only" },
  { "local _, e = pcall(require('web').throw, 400, 'x', 'y') getmetatable(e).__tostring = print", "read%-only" },
  { "for k, v in pairs(_G) do if k == 'string' then v.foo = 1 end end", "string is read%-only" },
  { "local k, v = next(_G, 'string') k, v = next(_G) rawget(_G, 'string').foo = 1", "string is read%-only" },
  { "local f, s = pairs(string) s.foo = 1", "string is read%-only" },
  { "local f, s = ipairs(math) s.foo = 1", "math is read%-only" },
  { "setmetatable({}, { __newindex = string }).foo = 1", "string is read%-only" },
  { "getmetatable('').__index = nil", "attempt to index a boolean value" },
  { "req.x.foo = 1", "attempt to index" },
}

-- Each gives true: what is read-only can be read like any table.
local READS = {
  "string.format('%d', 1) == '1'", "rawget(string, 'format') == string.format",
  "rawget(_G, 'surprise') == nil", "rawget(_G, 'string') == string", "require 'string' == string",
  "_G == _ENV", "require '_G' == _G", "next(string) ~= nil", "next({}) == nil",
  "(function() local n = 0 for k, v in pairs(string) do n = n + (string[k] == v and 1 or 0) end return n end)() > 10",
  "(function() local n = 0 for _ in pairs(require 'web') do n = n + 1 end return n end)() > 10",
  "select('#', table.unpack(require('web.drawing').PALETTE)) == #require('web.drawing').PALETTE",
  "require('web.drawing').PALETTE == require('web.drawing').PALETTE",
  "require('host.json').encode(require('host.config').app) == '{\"list\":[1,2]}'",
  "require('host.json').encode(setmetatable({}, require('host.json').array_mt)) == '[]'",
  "getmetatable(setmetatable({}, require('host.json').array_mt)) == require('host.json').array_mt",
  "getmetatable(require('host.json').decode '[]') == require('host.json').array_mt",
  "(function() local mt = {} return getmetatable(setmetatable({}, mt)) == mt end)()",
  "(function() local own = require 'own' own.count = 1 return require('own').count == 1 end)()",
  "(function() local t = { 1 } rawset(t, 2, 2) return rawget(t, 2) == 2 and next(t) == 1 end)()",
  "load('return string')() == string",
  "select(2, pcall(require 'web.ask', { session = 's' })):find 'ask needs question' ~= nil",
  "(function() local n, pieces = 0, { 'return ', 'function() ', 'return 7 ', 'end' } "
    .. "return load(function() n = n + 1 return pieces[n] end)()() end)() == 7",
  "load('return x', 'x', 't', { x = 5 })() == 5",
}

-- Writes into each table that can be reached from what is shared, and gives those that took it.
local WALK = [[
  local file = require "host.file"
  local seen, took, count = {}, {}, 0
  local function walk(t, path)
    local mt = getmetatable(t)
    if type(mt) == "table" and not seen[mt] then walk(mt, "metatable(" .. path .. ")") end
    if type(t) ~= "table" or seen[t] then return end
    seen[t], count = true, count + 1
    if pcall(function() t[seen] = 1 end) then took[#took + 1] = path end
    if pcall(rawset, t, seen, 1) then took[#took + 1] = path .. " by rawset" end
    for k, v in pairs(t) do
      if k ~= seen then walk(k, path .. " key") walk(v, path .. "." .. tostring(k)) end
    end
    for k, v in next, t do if k ~= seen then walk(v, path .. "." .. tostring(k)) end end
  end
  walk(_ENV, "_ENV")
  walk("", "string")
  local function modules(folder)
    for _, name in ipairs(file.list("lua/" .. folder, { own = false })) do
      local stem = name:match "^([%w_-]+)%.lua$"
      local ok, module = pcall(require, (folder:gsub("/", ".") .. "." .. tostring(stem)):gsub("%.init$", ""), nil)
      if stem and ok then walk(module, folder .. "." .. stem) end
    end
  end
  for _, folder in ipairs { "web", "web/template", "web/plugins", "host", "auth", "pictures", "pubsub", "posts",
    "hitl" } do modules(folder) end
  for name in ("config crypto event events file gateway hub json jwk jwt log metrics redis regex sql store task "
    .. "template time unicode zone"):gmatch "%w+" do walk(require("host." .. name), "host." .. name) end
  walk(require "cjson", "cjson")
  return { body = count .. " " .. table.concat(took, "\n") }
]]

local function routes()
  local parts = {}
  for i, case in ipairs(WRITES) do
    parts[#parts + 1] = ("{ path = '/write/%d', GET = function(req) local _ = req\n%s\nend }"):format(i, case[1])
  end
  for i, case in ipairs(READS) do
    parts[#parts + 1] = ("{ path = '/read/%d', GET = function() return { body = tostring(%s) } end }"):format(i, case)
  end
  parts[#parts + 1] = ("{ path = '/walk', GET = function() %s end }"):format(WALK)
  return "return {" .. table.concat(parts, ",\n") .. "}"
end


describe("what all requests share", function()
  local app

  setup(function()
    app = server.start { workers = 1, set = { dev = true }, files = {
      ["config.lua"] = "return { app = { list = { 1, 2 } } }",
      ["lua/own.lua"] = "return {}",
      ["lua/routes/cases.lua"] = routes(),
    } }
  end)
  teardown(function() app:stop() end)

  it("refuses every write, and says what is read-only", function()
    local wrong = {}
    for i, case in ipairs(WRITES) do
      local res = app:get("/write/" .. i)
      local said = res.body:gsub("&#x27;", "'")
      if res.status ~= 500 or not said:find(case[2]) then
        wrong[#wrong + 1] = case[1] .. "\n  " .. res.status .. " " .. res.body:sub(1, 300)
      end
    end
    assert.equal("", table.concat(wrong, "\n"))
  end)

  it("can be read like any table", function()
    local wrong = {}
    for i, case in ipairs(READS) do
      local body = app:get("/read/" .. i).body
      if body ~= "true" then wrong[#wrong + 1] = case .. "\n  " .. body:sub(1, 300) end
    end
    assert.equal("", table.concat(wrong, "\n"))
  end)

  it("has no table that takes a write, wherever one can get by fields and metatables", function()
    local count, took = app:get("/walk").body:match "^(%d+) (.*)$"
    assert.equal("", took)
    assert.is_true(tonumber(count) > 80, count)
  end)

  it("refuses a file that sets a global when it is loaded", function()
    server.write(app.folder, { ["lua/routes/bad.lua"] = "surprise = 1\nreturn { path = '/bad' }" })
    assert.matches("lua/routes/bad.lua:1: assignment to global 'surprise'", app:logged("old ones serve on").error)
  end)
end)
