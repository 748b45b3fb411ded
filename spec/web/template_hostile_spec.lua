-- Strangers' templates: whatever they try ends in text or in an error, soon, and reaches nothing.
local json = require "host.json"
local template = require "web.template"
local time = require "host.time"

-- A render has 50 ms; the rest is for sanitizers and a busy machine. What had no limit would take
-- minutes, or all memory.
local SOON <const> = 5

local env = template.strict()

local function nested(n)
  local t = {}
  for _ = 1, n do t = { t } end
  return t
end

local function list(n, make)
  local t = {}
  for i = 1, n do t[i] = make(i) end
  return t
end

local function run(text, context)
  local from = time.monotonic()
  local compiled, err = env:compile(text)
  local output
  if compiled then output, err = compiled(context or {}) end
  assert.is_true(time.monotonic() - from < SOON)
  return output, err
end

local megabyte <const> = ("x"):rep(1 << 20)

-- name, template, the limit that stops it, context
local endless = {
  { "a huge range", "{% for i in range(end=1000000000000) %}{% endfor %}", "steps" },
  { "a huge list of numbers", "{{ range(end=1000000000000) | length }}", "steps" },
  { "nested loops of 10^9", "{% for a in range(end=1000) %}{% for b in range(end=1000) %}"
    .. "{% for c in range(end=1000) %}x{% endfor %}{% endfor %}{% endfor %}", "steps" },
  { "a string that doubles", "{% set_global s = 'ab' %}{% for i in range(end=60) %}"
    .. "{% set_global s = s ~ s %}{% endfor %}", "bytes" },
  { "replace that grows", "{% set_global s = 'ab' %}{% for i in range(end=60) %}"
    .. "{% set_global s = s | replace(from='', to='xxxxxxxxx') %}{% endfor %}", "bytes" },
  { "indent that grows", "{% set_global s = 'a\n\nb' %}{% for i in range(end=60) %}"
    .. "{% set_global s = s | indent(prefix=s, blank=true) %}{% endfor %}", "bytes" },
  { "join that grows", "{% set_global s = 'abc' %}{% for i in range(end=60) %}"
    .. "{% set_global s = [s, s, s] | join(sep=s) %}{% endfor %}", "bytes" },
  { "escape that grows", "{% set_global s = '&&&&' %}{% for i in range(end=60) %}"
    .. "{% set_global s = s | escape | replace(from='a', to='&&&&') %}{% endfor %}", "bytes" },
  { "an output bomb", "{% for i in range(end=100000) %}{{ s }}{% endfor %}", "bytes",
    { s = ("a"):rep(1000) } },
  { "an array in itself, printed", "{% set_global a = [1] %}{% for i in range(end=50) %}"
    .. "{% set_global a = [a, a] %}{% endfor %}{{ a }}", "steps" },
  { "an array in itself, deep", "{% set_global a = [1] %}{% for i in range(end=99) %}"
    .. "{% set_global a = [a, a] %}{% endfor %}{{ a }}", "depth" },
  { "a macro that calls itself", "{% macro f() %}{{ self::f() }}{% endmacro %}{{ self::f() }}",
    "depth" },
  { "parentheses", "{{ " .. ("("):rep(1000) .. "1" .. (")"):rep(1000) .. " }}", "depth" },
  { "parentheses that never close", "{{ " .. ("("):rep(100000), "tokens" },
  { "tags in tags", ("{% if true %}"):rep(1000), "depth" },
  { "arrays in arrays", "{{ " .. ("["):rep(1000) .. ("]"):rep(1000) .. " }}", "depth" },
  { "a large template", megabyte .. "x", "source" },
  { "a template of tags", ("{{x}}"):rep(100000), "tokens" },
  { "a long sum", "{{ 1" .. (" + 1"):rep(100000) .. " }}", "tokens" },
}

-- These end by steps, by time or by themselves, whichever comes first on this machine.
local slow = {
  { "two arrays in themselves, compared", "{% set_global a = [1] %}{% set_global b = [1] %}"
    .. "{% for i in range(end=60) %}{% set_global a = [a, a] %}{% set_global b = [b, b] %}"
    .. "{% endfor %}{{ a == b }}" },
  { "an array in itself, as JSON", "{% set_global a = [1] %}{% for i in range(end=60) %}"
    .. "{% set_global a = [a, a] %}{% endfor %}{{ a | json_encode }}" },
  { "macros that branch", "{% macro f(n) %}{% if n > 0 %}{{ self::f(n=n-1) }}{{ self::f(n=n-1) }}"
    .. "{% endif %}{% endmacro %}{{ self::f(n=40) }}" },
  { "a catastrophic pattern", "{{ s is matching('(a+)+$') }}", { s = ("a"):rep(100000) .. "b" } },
  { "many catastrophic patterns", "{% for i in range(end=99999) %}"
    .. "{{ s is matching('(a|aa)+$' ~ i) }}{% endfor %}", { s = ("a"):rep(1000) .. "b" } },
  { "tags to strip", "{{ s | striptags | length }}", { s = ("<!--"):rep(200000) } },
  { "wide spaces between tags", "{{ s | spaceless | length }}",
    { s = (">" .. ("\u{2003}"):rep(10)):rep(20000) } },
  { "a needle almost found", "{{ s | replace(from=t, to='') | length }}",
    { s = ("a"):rep(1 << 20), t = ("a"):rep(500000) .. "b" } },
  { "a long string, again and again", "{% for i in range(end=99999) %}{% set a = s | length %}"
    .. "{% endfor %}", { s = megabyte } },
  { "a sort, again and again", "{% for i in range(end=99999) %}{% set a = s | sort %}{% endfor %}",
    { s = list(10000, function(i) return -i end) } },
  { "long paths, again and again", "{% for i in range(end=99999) %}"
    .. "{% set a = s | map(attribute=p) %}{% endfor %}",
    { s = list(10000, function() return { a = 1 } end), p = ("a."):rep(10000) } },
  { "dates, again and again", "{% for i in range(end=99999) %}{{ 0 | date(format=f) }}{% endfor %}",
    { f = ("%c"):rep(400) } },
  { "grapheme clusters of a megabyte", "{% for c in s %}{% endfor %}", { s = megabyte } },
  { "loops in loops, sixty deep", ("{% for i in [1] %}{% set a = i %}"):rep(60) .. "{{ a }}"
    .. ("{% endfor %}"):rep(60) },
  { "a macro that swallows its recursion", "{% macro f() %}"
    .. "{% if s | replace(from=self::f(), to='') %}{% endif %}{% endmacro %}{{ self::f() }}",
    { s = "x" } },
}

-- Ways out of the language: each is an error or harmless text.
local ways_out = {
  "{{ os.execute }}", "{{ os.execute('id') }}", "{{ _G }}", "{{ _ENV }}", "{{ load('x') }}",
  "{{ require(name='os') }}", "{{ s.rep }}", "{{ s.__index }}", "{{ s['format'] }}", "{{ s[k] }}",
  "{{ o.__index }}", "{{ o.__metatable }}", "{{ getmetatable(s) }}", "{{ o | getmetatable }}",
  "{{ a.__len }}", "{{ a['insert'] }}", "{{ __tera_context }}", "{{ get_env(name='HOME') }}",
  "{{ get_env(name='HOME', default='x') }}", "{{ string.rep }}", "{{ ctx }}", "{{ R }}", "{{ U }}",
  "{{ H }}", "{{ X }}", "{{ K }}", "{{ F }}", "{{ O }}", "{{ self }}", "{{ debug.sethook }}",
  "{% include '/etc/passwd' %}", "{% include '../../etc/passwd' %}", "{% include 'lua/boot.lua' %}",
  "{% import '/etc/passwd' as x %}", "{% extends '/etc/passwd' %}", "{{ 'x' | os_execute }}",
  "{{ s is __index }}", "{{ s is __gc }}", "{{ s | __index }}", "{{ __index() }}",
}

-- Text that could end a literal, a comment or a name of the generated code.
local injections = {
  '"', "'", "\\", '\\"', "]]", "]==]", "--", "--[[", "\n", "\r\n", "\0", "\27Lua", '" .. os.exit() .. "',
  "]] os.exit() --[[", "${x}", "%s", "%d%n", "%1", "\226\128\168", "end end end", "goto x", "::x::",
}

describe("a stranger's template", function()
  for _, case in ipairs(endless) do
    it("is stopped: " .. case[1], function()
      local output, err = run(case[2], case[4])
      assert.is_nil(output)
      -- On a slow machine time can be up first.
      if err.limit ~= "ms" then assert.equal(case[3], err.limit, tostring(err)) end
      assert.is_true(#tostring(err) < 2000)
    end)
  end

  for _, case in ipairs(slow) do
    it("ends soon: " .. case[1], function()
      local output, err = run(case[2], case[3])
      assert.is_true(type(output) == "string" or type(err.message) == "string")
    end)
  end

  for _, text in ipairs(ways_out) do
    it("gets nothing from " .. text, function()
      local output = run(text, { s = "text", o = { x = 1 }, a = { 1 }, k = "rep" })
      assert.is_nil(output)
    end)
  end

  for _, text in ipairs(injections) do
    it(("is text, never Lua: %q"):format(text), function()
      assert.equal(text, run("{% raw %}" .. text .. "{% endraw %}"))
      local quote = text:find '"' and (text:find "'" and "`" or "'") or '"'
      assert.equal(text, run(("{{ %s%s%s | safe }}"):format(quote, text, quote)))
      assert.equal(text, run("{{ o | get(key=k) | safe }}", { o = { [text] = text }, k = text }))
      assert.equal("1", run("{{ o[k] }}", { o = { [text] = 1 }, k = text }))
      local _, err = run("{{ a }}{{ " .. text .. " ?? }}")
      assert.is_string(err.message)
    end)
  end

  it("prints no address of a function, userdata or thread", function()
    for _, thing in ipairs { print, io.stdout, coroutine.create(print) } do
      for _, text in ipairs { "{{ x }}", "{{ [x] }}", "{{ x | as_str }}", "{{ x ~ '' }}",
        "{{ x | json_encode }}", "{{ x.y }}", "{{ x + 1 }}", "{% for i in x %}{% endfor %}" } do
        local output, err = run(text, { x = thing })
        assert.is_nil(output)
        assert.is_nil(tostring(err):find "0x")
      end
    end
  end)

  it("gets null, not an address, and an error for what is not there", function()
    assert.equal("[]", run("[{{ n }}]", { n = json.null }))
    assert.is_nil(run "{{ missing }}")
    assert.equal("NaN", run "{{ 0 / 0 }}")
  end)

  it("is escaped for text and quoted attributes", function()
    local nasty = "<script>\"'&/</script>"
    for _, text in ipairs { "{{ x }}", "{{ x ~ '' }}", "{{ [x] | first }}", "{{ o.x }}",
      "{{ x | trim }}", "{% set y = x %}{{ y }}", "{{ x | default(value='') }}",
      "{% for c in [x] %}{{ c }}{% endfor %}", "{{ no | default(value=x) }}",
      "{% macro m(x) %}{{ x }}{% endmacro %}{{ self::m(x=x) }}" } do
      local output = run(text, { x = nasty, o = { x = nasty } })
      assert.equal("&lt;script&gt;&quot;&#x27;&amp;&#x2F;&lt;&#x2F;script&gt;", output)
    end
    assert.is_nil(run("{{ [x] }}", { x = nasty }):find "[<>\"']")
  end)

  it("can't be deep data's victim", function()
    for _, text in ipairs { "{{ d }}", "{{ d | json_encode }}", "{{ d == e }}", "{{ d in [e] }}" } do
      local output, err = run(text, { d = nested(100000), e = nested(100000) })
      assert.is_true(type(output) == "string" or type(err.message) == "string")
    end
  end)

  it("changes nothing that others see", function()
    local context = { a = { 3, 1, 2 }, o = { k = 1 } }
    assert.is_string(run("{% set b = a | sort %}{% set c = a | reverse %}{% set a = 1 %}"
      .. "{% set d = a %}{% for x in [1] %}{% set_global o = 2 %}{% endfor %}{{ b }}", context))
    assert.same({ a = { 3, 1, 2 }, o = { k = 1 } }, context)
    assert.equal("1", run("{{ o.k }}", context))
  end)

  it("does not share with another of the same name", function()
    local one = assert(env:compile("one", "same"))
    local two = assert(env:compile("two", "same"))
    assert.equal("one", one())
    assert.equal("two", two())
  end)

  it("is kept when compiled, up to a bound that is counted", function()
    local own = template.environment { strict = true, autoescape = true }
    local first = own:compile "first"
    assert.equal(first, own:compile "first")
    assert.equal(1, own:stats().hits)
    for i = 1, 2000 do own:compile("text " .. i) end
    assert.is_true(own:stats().entries <= 512)
    assert.is_true(own:stats().dropped > 0)
  end)
end)

describe("a folder of templates", function()
  it("is not left by any name", function()
    local folder = template.environment { source = "templates" }
    for _, name in ipairs { "../lua/boot.lua", "/etc/passwd", "a/../../lua/boot.lua", "", "a\0b", "./x",
      "..", "a\\..\\b" } do
      local text, err = folder:render(name)
      assert.is_nil(text)
      assert.truthy(err.message:find("no template", 1, true))
    end
  end)
end)
