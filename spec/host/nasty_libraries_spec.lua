-- Lua's libraries and lunacast's modules at their worst: huge texts, lists, numbers and formats in
-- the functions that work in C, where nothing can interrupt them. Each request ends with an error
-- within its budget. Measured is CPU time, so that a busy machine fails nothing.
local nasty = require "spec.support.nasty"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local MOST_MS = 900 -- the budget is 80 ms; the rest is for the sanitizers and a cold cache

local TEXTS = {
  quadratic = "local s = '' for i = 1, 1e9 do s = s .. 'xxxxxxxxxx' end",
  quadratic_of_a_large_one = "local s = ('x'):rep(1e6) for i = 1, 1e9 do local _ = s .. i end",
  concat = "local t = {} for i = 1, 1e6 do t[i] = 'xxxxxxxxxx' end while true do table.concat(t, ',') end",
  format_width = "return ('%100d'):format(1)",
  format_precision = "return ('%.100f'):format(1)",
  format_quoted = "local s = ('\\0'):rep(1e6) while true do local _ = ('%q'):format(s) end",
  format_quoted_large = "return ('%q'):format(('\\0'):rep(5e6))",
  format_large = "local s = ('x'):rep(1e7) while true do local _ = ('%s%s'):format(s, s) end",
  format_many = "return ('%d'):rep(1e5):format(1)",
  utf8_len = "local s = ('x'):rep(1e7) while true do utf8.len(s) end",
  utf8_codepoint = "return utf8.codepoint(('x'):rep(5e6), 1, -1)",
  utf8_offset = "local s = ('\\x80'):rep(1e7) while true do utf8.offset(s, -1) end",
  utf8_codes = "for _ in utf8.codes(('x'):rep(2e7)) do end error 'x'",
  pack = "return string.pack(('i16'):rep(1e6), 1)",
  packsize = "while true do string.packsize(('i16'):rep(3e6)) end",
  packsize_overflow = "return string.packsize(('c2147483647'):rep(100))",
  unpack_long_format = "local s = ('x'):rep(1e7) while true do pcall(string.unpack, ('b'):rep(1e6), s) end",
  unpack_to_zero = "local s = ('x'):rep(1e7) while true do pcall(string.unpack, 'z', s) end",
  bytes = "return string.byte(('x'):rep(1e7), 1, -1)",
  reverse = "local s = ('x'):rep(1e7) while true do s:reverse() end",
  upper = "local s = ('x'):rep(1e7) while true do s:upper() end",
  rep = "return ('x'):rep(1e9)",
  rep_again = "while true do local _ = ('x'):rep(2e7) end",
  replaced_by_table = "local s = ('x'):rep(1e6) while true do s:gsub('.', { x = 'y' }) end",
  replaced_by_captures = "local s = ('x'):rep(1e5) while true do s:gsub('()', '%1%1%1') end",
  compared = "local a = ('x'):rep(1e7) local b = a .. 'b' while true do local _ = a < b end",
  equal = "local a = ('x'):rep(1e7) local b = ('x'):rep(1e7 - 1) .. 'y' while true do local _ = a == b end",
  to_number = "local s = ('1'):rep(1e7) while true do tonumber(s) end",
  to_number_of_base = "local s = ('1'):rep(1e7) while true do tonumber(s, 2) end",
  escaped = "local web, s = require 'web', ('<'):rep(1e6) while true do web.escape(s) end",
  hashed = "local c, s = require 'host.crypto', ('x'):rep(1e7) while true do c.sha256(s, 'hex') end",
  logged = "local log = require 'host.log' while true do log.info(('x'):rep(1e7), { a = ('y'):rep(1e7) }) end",
}

local TABLES = {
  sort_that_lies = "local t = {} for i = 1, 1e5 do t[i] = i % 7 end "
    .. "while true do pcall(table.sort, t, function() return true end) end",
  sort_by_chance = "local t = {} for i = 1, 1e5 do t[i] = i end "
    .. "while true do pcall(table.sort, t, function() return math.random() < .5 end) end",
  sort_of_texts = "local t = {} for i = 1, 50 do t[i] = ('x'):rep(4e5) .. i end "
    .. "while true do table.sort(t) table.sort(t, function(a, b) return a > b end) end",
  insert_first = "local t = {} for i = 1, 1e9 do table.insert(t, 1, i) end",
  remove_first = "local t = {} for i = 1, 1e6 do t[i] = i end while true do table.remove(t, 1) t[#t + 1] = 1 end",
  move = "local t = {} for i = 1, 1e6 do t[i] = i end while true do table.move(t, 1, #t, 2) end",
  rehash = "while true do local t = {} for i = 1, 1e6 do t[-i] = i end end",
  unpack = "return select('#', table.unpack({}, 1, 999990))",
  select = "local function f(n, ...) if n > 0 then return f(n - 1, n, ...) end return select('#', ...) end return f(1e5)",
  pairs = "for _ in pairs(setmetatable({}, { __pairs = function() return function() return 1 end end })) do end",
  index_circle = "local a, b = {}, {} setmetatable(a, { __index = b }) setmetatable(b, { __index = a }) return a.x",
  newindex_circle = "local a, b = {}, {} setmetatable(a, { __newindex = b }) setmetatable(b, { __newindex = a }) a.x = 1",
  called_by_itself = "local t = {} setmetatable(t, { __call = t }) return t()",
  called_by_a_chain = "local f = print for i = 1, 1e5 do f = setmetatable({}, { __call = f }) end return f()",
  equal_chain = "local mt = {} mt.__eq = function(a) return a == setmetatable({}, mt) end "
    .. "return setmetatable({}, mt) == setmetatable({}, mt)",
  closed_again_and_again = "for _ = 1, 1e9 do local x <close> = setmetatable({}, { __close = error }) end",
  error_circle = "local t = {} t.t = t error(t)",
  tostring_circle = "local mt = {} mt.__tostring = function() return 'x' .. tostring(setmetatable({}, mt)) end "
    .. "error(tostring(setmetatable({}, mt)))",
  handlers_in_each_other = "local function h(e) return xpcall(error, h, e) end while true do xpcall(error, h) end",
}

local CODE = {
  list = "assert(load('return {' .. ('1,'):rep(5e6) .. '}'))",
  names = "local s = {} for i = 1, 1e5 do s[i] = 'x' .. i .. '=' .. i end assert(load(table.concat(s, ' ')))",
  long_text = "assert(load('return [[' .. ('x'):rep(2e7) .. ']]'))",
  comment = "while true do load('--' .. ('x'):rep(2e7)) end",
  expression = "assert(load('return ' .. ('1+'):rep(3e6) .. '1'))",
  concatenation = "assert(load('return ' .. ('a..'):rep(1e5) .. '1'))",
  blocks = "assert(load(('do '):rep(1e6)))",
  functions = "assert(load(('return function() '):rep(1e5)))",
  gotos = "local t = {} for i = 1, 8e3 do t[i] = 'goto l' .. i .. ' ::l' .. i .. '::' end "
    .. "while true do load(table.concat(t, ' ')) end",
  gotos_far = "local t = {} for i = 1, 7e3 do t[i] = 'do goto l' .. i .. ' end' end for i = 1, 7e3 do t[#t + 1] = '::l' "
    .. ".. i .. '::' end while true do load(table.concat(t, ' ')) end",
  endless_pieces = "assert(load(function() return 'x = 1 ' end))",
  large_pieces = "local p = ('x = 1 '):rep(1e4) assert(load(function() return p end))",
}

local MODULES = {
  json_list = "local s = '[' .. ('1,'):rep(3e5) .. '1]' while true do require('host.json').decode(s) end",
  json_text = "local s = '\"' .. ('\\\\u0041'):rep(1e6) .. '\"' while true do require('host.json').decode(s) end",
  json_number = "local s = '1' .. ('0'):rep(5e6) while true do require('host.json').decode(s) end",
  json_fraction = "local s = '0.' .. ('1'):rep(5e6) .. 'e5' while true do require('host.json').decode(s) end",
  json_space = "local s = (' '):rep(1e7) while true do require('host.json').decode(s) end",
  json_encode = "local t = {} for i = 1, 2e5 do t[i] = i / 3 end while true do require('host.json').encode(t) end",
  json_sorted = "local t = {} for i = 1, 1e5 do t['k' .. i] = i end "
    .. "while true do require('host.json').encode(t, { sort = true }) end",
  json_deep = "assert(require('host.json').decode(('['):rep(1e6)))",
  cjson = "local s = '[' .. ('1,'):rep(3e5) .. '1]' while true do require('cjson').decode(s) end",
  cjson_deep = "return require('cjson').decode(('['):rep(1e6))",
  regex_compiled = "for i = 1, 1e9 do require('host.regex').test('x' .. i, 'x') end",
  tasks = "local task = require 'host.task' while true do task.spawn(function() end) end",
  published = "local hub = require 'host.hub' while true do hub.publish('t', ('x'):rep(1e5)) end",
  metrics = "for i = 1, 1e9 do require('host.metrics').counter('c' .. i, 'x') end",
  date = "return os.date(('%d'):rep(1e6))", time = "return os.time { year = 1e15, month = 1, day = 1 }",
  time_overflow = "return os.time { year = 2^31 - 1, month = 2^30, day = -2^30, hour = 2^30, min = 2^30, sec = 2^30 }",
  date_far = "return os.date('%c', 1 << 60)", date_conversion = "return os.date '%Ey%O'",
  debug = "return require 'debug'", io = "return require 'io'", package = "return require('package').loadlib",
  c_module = "return require 'plugins.x.y'", collector = "collectgarbage('step', 1)",
  coroutine_of_itself = "local co co = coroutine.wrap(function() co() end) co()",
  coroutine_closes_itself = "local co co = coroutine.create(function() coroutine.close(co) end) "
    .. "assert(coroutine.resume(co))",
  many_arguments = "local co = coroutine.create(function() while true do coroutine.yield(table.unpack({}, 1, 1e5)) end end) "
    .. "while true do coroutine.resume(co) end",
  waits_in_coroutine = "coroutine.wrap(function() require('host.time').sleep(1) end)()",
}

-- What one call can be given at most.
local ONE_CALL = {
  find = "('a'):rep(2^24):find('.-b')", find_set = "('a'):rep(2^25):find('[%w%p]-[^%w%p]')",
  gmatch = "for _ in ('a'):rep(2^25):gmatch('b') do end",
  escape = "require('web').escape(('<'):rep(6e6))", gsub = "('<'):rep(7e6):gsub('(<)()()()()', '%5%4%3%2%1')",
  concat = "local t = { ('x'):rep(9e5):byte(1, -1) } t = table.concat(t, ('x'):rep(20)) error 'done'",
  format = "return ('%99.99f'):rep(9e3):format(table.unpack({ ('x'):rep(9e3):byte(1, -1) }))",
  quoted = "local s = ('\\0'):rep(1e6) return ('%q'):rep(10):format(s, s, s, s, s, s, s, s, s, s)",
  pack = "return string.packsize(('x'):rep(2e7))", move = "table.move({ x = 1 }, 1, 2^22, 2^22 + 1)",
  sort = "table.sort({ ('x'):rep(9e5):byte(1, -1) })", utf8_char = "return utf8.char(('x'):rep(9e5):byte(1, -1))",
  json_shared = "local t = {} for _ = 1, 60 do t = { t, t } end "
    .. "return require('host.json').encode(t, { max_size = 1e12 })",
  json_sorted = "local t = {} for _ = 1, 60 do t = { a = t, b = t } end "
    .. "return require('host.json').encode(t, { sort = true, max_size = 1e12 })",
  json_decoded = "local s = '{' .. ('\"a\":[],'):rep(2e6) .. '\"a\":1}' "
    .. "require('host.json').decode(s, { max_size = 1e9 })",
  cjson_shared = "local t = {} for _ = 1, 60 do t = { t, t } end return require('cjson').encode(t)",
  cjson_decoded = "return require('cjson').decode('{' .. ('\"a\":[],'):rep(2e6) .. '\"a\":1}')",
  cjson_new = "return require('cjson').new().decode('[' .. ('1,'):rep(4e6) .. '1]')",
  cjson_deep = "local c = require 'cjson' c.decode_max_depth(1e9) return c.decode(('['):rep(1e6))",
  cjson_sparse = "local c = require 'cjson' c.encode_sparse_array(true, 0) return c.encode { [2^31] = 1 }",
  regex_ranges = "local r = require 'host.regex' "
    .. "assert(r.test('[' .. ('\\u{80}-\\u{10ffff}'):rep(1500) .. ']', 'x', { ignore_case = true }))",
  regex_all = "require('host.regex').all(('()'):rep(100) .. 'a', ('a'):rep(2^20))",
  slug = "require('host.unicode').slug(('\\u{fdfa}'):rep(3e5))", chars = "require('host.unicode').chars(('a'):rep(2^20))",
  split = "require('host.sql').split(('select 1;'):rep(2e6))",
  published = "require('host.hub').publish('t', ('x'):rep(2^25))",
}

describe("at its worst", function()
  local app

  setup(function()
    app = server.start { workers = 1, set = { ["log.access"] = false }, files = {
      ["lua/routes/texts.lua"] = nasty.routes("texts", TEXTS), ["lua/routes/tables.lua"] = nasty.routes("tables", TABLES),
      ["lua/routes/code.lua"] = nasty.routes("code", CODE), ["lua/routes/modules.lua"] = nasty.routes("modules", MODULES),
      ["lua/routes/long.lua"] = [[return { path = "/long/{n}", GET = function(req)
        return { type = "text/plain", body = ("x"):rep(req.params.n) }
      end }]],
      ["lua/routes/calls.lua"] = nasty.routes("calls", ONE_CALL),
    } }
    wait.pause(1)
  end)
  teardown(function() app:stop() end)

  it("a text function ends within the budget", function()
    assert.same({}, nasty.ask_all(app, "texts", TEXTS, MOST_MS))
  end)

  it("a table function or a metamethod ends within the budget", function()
    assert.same({}, nasty.ask_all(app, "tables", TABLES, MOST_MS))
  end)

  it("load ends within the budget", function()
    assert.same({}, nasty.ask_all(app, "code", CODE, MOST_MS))
  end)

  it("a module ends within the budget", function()
    assert.same({}, nasty.ask_all(app, "modules", MODULES, MOST_MS))
  end)

  it("a single call ends within the budget", function()
    assert.same({}, nasty.ask_all(app, "calls", ONE_CALL, MOST_MS))
  end)

  it("an answer is compressed only where that takes no longer", function()
    local gzip = { headers = { ["Accept-Encoding"] = "gzip" } }
    assert.equal("gzip", app:get("/long/2097152", gzip).headers["content-encoding"])
    assert.is_nil(app:get("/long/2097153", gzip).headers["content-encoding"])
  end)
end)


describe("tasks that start each other without end", function()
  for what, start in pairs {
    ["one each"] = "local function f() spawn(f) end f()",
    ["many that work hard"] = "for _ = 1, 300 do spawn(function() for i = 1, 1e6 do local _ = i end end) end",
    ["woken by each other"] = [[
      local a, b = event.new(), event.new()
      spawn(function() while true do a:set() b:wait() b = event.new() end end)
      spawn(function() while true do b:set() a:wait() a = event.new() end end)]],
  } do
    it("leave room for requests between them: " .. what, function()
      local app = server.start { workers = 1, set = { ["log.access"] = false }, files = {
        ["lua/routes/a.lua"] = ("local spawn, event = require('host.task').spawn, require 'host.event' local _ = event\n"
          .. "return { { path = '/start', GET = function() %s return { body = 'started' } end }, "
          .. "{ path = '/fine', GET = function() return { body = 'fine' } end } }"):format(start),
      } }
      assert.equal("started", app:get("/start").body)
      for _ = 1, 20 do assert.equal("fine", app:get("/fine").body) end
      app:stop()
    end)
  end
end)
