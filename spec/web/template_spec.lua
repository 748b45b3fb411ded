-- The templates' API: sources, escaping, extensions, limits, caching.
local json = require "host.json"
local template = require "web.template"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

describe("an environment of templates", function()
  it("reads them from a table, a function, or a folder of the application", function()
    local text = { ["a.txt"] = "A{% include 'b.txt' %}", ["b.txt"] = "B" }
    assert.equal("AB", (template.environment { source = text }:render "a.txt"))
    local by_function = template.environment { source = function(name) return text[name] end }
    assert.equal("AB", (by_function:render "a.txt"))
    local _, err = template.environment { source = "templates" }:render("demo.svg", {})
    assert.truthy(err == nil or err.name == "demo.svg")
  end)

  it("finds what a template names without rendering it", function()
    local env = template.environment { source = {
      good = "{{ x | upper }}{% include 'part' %}", part = "{{ y }}",
      filter = "{% if false %}{{ x | uper }}{% endif %}", deep = "\n{% include 'filter' %}",
      absent = "{% include 'nope' %}", optional = "{% include 'nope' ignore missing %}",
      child = "{% extends 'filter' %}",
    } }
    assert.is_nil(env:check "good")
    assert.is_nil(env:check "optional")
    local err = env:check "filter"
    assert.equal("unknown filter 'uper', did you mean 'upper'?", err.message)
    assert.same({ "filter", 1, 22 }, { err.name, err.line, err.column })
    assert.equal("filter", env:check("deep").name)
    assert.equal("filter", env:check("child").name)
    assert.matches("'nope' not found", env:check("absent").message)
    assert.matches("no template 'nothing'", env:check("nothing").message)
  end)

  it("may lie in folders with short names", function()
    local source = template.environment({ source = "spec" }).source
    assert.truthy(source.read "c/certs.h")
    assert.is_nil(source.read "web/../c/certs.h")
    assert.is_nil(source.read "./c/certs.h")
  end)

  it("says which template there is not", function()
    local text, err = template.environment { source = { ["chart.svg"] = "" } }:render "chrat.svg"
    assert.is_nil(text)
    assert.equal("no template 'chrat.svg', did you mean 'chart.svg'?", err.message)
  end)

  it("sees a text that changed in its table", function()
    local source = { a = "one" }
    local env = template.environment { source = source }
    assert.equal("one", (env:render "a"))
    source.a = "two"
    assert.equal("two", (env:render "a"))
  end)

  it("escapes by the suffix of the entry, and what has no name", function()
    local env = template.environment {
      source = { ["a.svg"] = "{{ x }}", ["a.txt"] = "{{ x }}{% include 'a.svg' %}",
        ["b.htm"] = "{% include 'a.txt' %}" },
    }
    assert.equal("&lt;", (env:render("a.svg", { x = "<" })))
    assert.equal("<<", (env:render("a.txt", { x = "<" })))
    assert.equal("&lt;&lt;", (env:render("b.htm", { x = "<" })))
    assert.equal("&lt;", (env:compile "{{ x }}" { x = "<" }))
    assert.equal("<", (env:compile("{{ x }}", "x.txt") { x = "<" }))
  end)

  it("escapes always, never, or by other suffixes, as it is told", function()
    local function output(autoescape, name)
      local env = template.environment { autoescape = autoescape }
      return (env:compile("{{ x }}", name) { x = "<" })
    end
    assert.equal("&lt;", output(true, "a.txt"))
    assert.equal("<", output(false, "a.html"))
    assert.equal("&lt;", output({ ".md" }, "a.md"))
    assert.equal("<", output({ ".md" }, "a.html"))
  end)

  it("takes filters, tests and functions, which come before the built-in ones", function()
    local env = template.environment {
      filters = {
        twice = function(v, args) return v .. (args.by or "") .. v end,
        upper = function() return "mine" end,
        bold = { safe = true, call = function(v) return "<b>" .. v .. "</b>" end },
      },
      tests = { tiny = function(v, args) return v ~= nil and v < (args[1] or 5) end },
      functions = {
        answer = function(args) return args.plus + 42 end,
        icon = { safe = true, call = function() return "<i/>" end },
      },
    }
    local function out(text) return assert(env:compile(text))({ x = "a", n = 3 }) end
    assert.equal("a-a", out "{{ x | twice(by='-') }}")
    assert.equal("mine", out "{{ x | upper }}")
    assert.equal("<b>a</b>", out "{{ x | bold }}")
    assert.equal("&lt;b&gt;a&lt;&#x2F;b&gt;a", out "{{ x | bold | replace(from='z', to='') }}a")
    assert.equal("true false true", out "{{ n is tiny }} {{ n is tiny(2) }} {{ no is not tiny }}")
    assert.equal("43<i/>", out "{{ answer(plus=1) }}{{ icon() }}")
  end)

  it("finds the files of lua/filters/ by their names", function()
    assert.equal("12.3k", (template.environment():compile "{{ 12345 | si }}"()))
    assert.equal("12.3k", (template.strict():compile "{{ 12345 | si }}"()))
  end)

  it("gives a user's filter arguments that it may change", function()
    local env = template.environment {
      filters = { spoil = function(v, args) args.a = args.a + v return args.a end },
    }
    local compiled = env:compile "{{ 1 | spoil(a=1) }}"
    assert.equal("2", compiled())
    assert.equal("2", compiled())
  end)

  it("renders inside of a filter that renders", function()
    local env
    env = template.environment {
      filters = { inner = function(v) return (env:compile("<{{ v }}>", "t.txt")({ v = v })) end },
    }
    assert.equal("a<b>c", (env:compile("a{{ 'b' | inner }}c", "t.txt")()))
  end)

  it("refuses options it does not know", function()
    assert.error_matches(function() template.environment { sorce = {} } end, "did you mean 'source'")
    assert.error_matches(function() template.environment { limits = { step = 1 } } end,
      "did you mean 'steps'")
    assert.error_matches(function() template.environment():compile "x" { 1, 2 } end, "table of names")
  end)

  it("has limits that can be set", function()
    local env = template.environment { limits = { steps = 10, bytes = 20, depth = 3 } }
    local _, err = env:compile "{% for i in range(end=50) %}{% endfor %}"()
    assert.equal("steps", err.limit)
    _, err = env:compile "{% for i in range(end=9) %}xxxxx{% endfor %}"()
    assert.equal("bytes", err.limit)
    _, err = env:compile "{{ ((((1)))) }}"
    assert.equal("depth", err.limit)
  end)

  it("keeps numbers, null, empty arrays and objects what they were", function()
    local text = '{"a":[],"b":{},"c":1,"d":1.0,"e":null,"f":9223372036854775807,"g":0.1}'
    local context = { v = json.decode(text) }
    assert.equal(text, (template.environment():compile("{{ v | json_encode }}", "t.txt")(context)))
  end)

  it("takes Lua's own tables as arrays and objects", function()
    local env = template.environment()
    assert.equal("[1, [2, 3], [object]]",
      (env:compile "{{ v }}" { v = { 1, { 2, 3 }, { k = 1 } } }))
    assert.equal("none", (env:compile "{% for x in v %}{% else %}none{% endfor %}" { v = {} }))
  end)

  it("tells a template that extends itself, and one that includes itself", function()
    local env = template.environment {
      source = { a = "{% extends 'b' %}", b = "{% extends 'a' %}", c = "{% include 'c' %}" },
    }
    local _, err = env:render "a"
    assert.truthy(err.message:find("extend one another", 1, true))
    _, err = env:render "c"
    assert.equal("depth", err.limit)
  end)
end)

describe("the Lua of a template", function()
  it("touches no global, whatever the template", function()
    local touched = {}
    local real = load
    local walls = setmetatable({}, {
      __index = function(_, key) touched[#touched + 1] = key end,
      __newindex = function(_, key) touched[#touched + 1] = key end,
    })
    local kept = {}
    for name in pairs(package.loaded) do
      if name:find "^web%.template" then
        kept[name], package.loaded[name] = package.loaded[name], nil
      end
    end
    -- The engine, loaded anew, finds a `load` that watches.
    rawset(_G, "load", function(source, name, mode)
      assert.equal("t", mode)
      return real(source, name, mode, walls)
    end)
    local watched = require "web.template"
    for _, case in ipairs(assert(json.decode(read "spec/web/tera-cases.json"))) do
      watched.environment {
        source = case.templates or { [case.entry] = case.template },
      }:render(case.entry, case.context)
    end
    rawset(_G, "load", real)
    for name, module in pairs(kept) do package.loaded[name] = module end
    assert.same({}, touched)
  end)

  it("stays within Lua's limits for templates of any shape", function()
    local env = template.environment { limits = { ms = 10000, steps = 10000000 } }
    local shapes = {
      ("{{ x }}"):rep(20000), ("{% if x %}a{% endif %}"):rep(10000),
      "{% for i in [1] %}" .. ("{{ i }}{% if i %}b{% endif %}"):rep(10000) .. "{% endfor %}",
      "{% for i in [1] %}" .. ("{{ i }}{% if i == 2 %}{% break %}{% endif %}"):rep(5000)
        .. "{% endfor %}",
      "{{ [" .. ("x,"):rep(5000) .. "] | length }}", "{{ 1" .. (" + x"):rep(5000) .. " }}",
      "{{ 'a'" .. (" ~ x"):rep(5000) .. " }}", ("{% for i in [1] %}{% set a = i %}"):rep(60)
        .. "{{ a }}" .. ("{% endfor %}"):rep(60), ("{% filter upper %}"):rep(60) .. "a"
        .. ("{% endfilter %}"):rep(60), "{% if x == 2 %}" .. ("{% elif x == 3 %}"):rep(5000)
        .. "{% endif %}",
    }
    for i, text in ipairs(shapes) do
      local output, err = assert(env:compile(text, i .. ".txt"))({ x = 1 })
      assert.is_string(output, i .. ": " .. tostring(err))
    end
  end)
end)
