-- Templates put together at random from pieces of the language, most of them wrong: each gives text
-- or an error with a place. FUZZ_TEMPLATES sets how many, FUZZ_SEED where to begin.
local template = require "web.template"

local count = tonumber(os.getenv "FUZZ_TEMPLATES") or 3000
local seed = tonumber(os.getenv "FUZZ_SEED") or 20260301

local pieces = {
  "{{ ", " }}", "{{- ", " -}}", "{% ", " %}", "{%- ", " -%}", "{# ", " #}", "{{", "}}", "{%", "%}",
  "if ", "elif ", "else", "endif", "for i in ", "for k, v in ", "endfor", "set x = ",
  "set_global y = ", "filter upper", "filter replace(from='a', to='b')", "endfilter", "macro m(a, b=1)",
  "endmacro", "block b", "endblock", "raw", "endraw", "break", "continue", "include 'z' ignore missing",
  "extends 'z'", "import 'z' as q", "super()", "self::m(a=x)", "not ", " and ", " or ", " in ",
  " not in ", " is defined", " is odd", " is not string", " is containing(1)", " is matching('a+')", "x",
  "y", "a", "s", "o", "o.k", "a.0", "a[0]", "o['k']", "a[x]", "loop.index", "loop.last", "nope", "true",
  "1", "-1", "2.5", "9223372036854775807", "'str'", "\"<&\"", "`b`", "[1, 2]", "[x, [s]]", "[]", "(", ")",
  "[", "]", " + ", " - ", " * ", " / ", " % ", " == ", " != ", " < ", " >= ", " ~ ", " | ", "upper",
  "length", "round(precision=1)", "default(value=x)", "safe", "first", "sort", "join(sep=',')",
  "slice(start=1)", "date", "json_encode", "truncate(length=2)", "split(pat='')", "nope", "fixed",
  "range(end=3)", "now()", "throw(message=s)", ",", "=", ".", "text ", "\n", "é", "\u{1F600}", "<b>",
}

local whole = {
  "{{ x }}", "{% if x %}", "{% endif %}", "{% for i in a %}", "{% endfor %}", "{{ i }}", "{{ s | upper }}",
  "{% set x = a | length %}", "{% else %}", "{{ a }}", "{% filter upper %}", "{% endfilter %}",
  "{{ o.k ~ x }}", "{{ x + y }}", "{% set_global y = y + 1 %}", "{{ loop.index }}", "{% break %}",
}

local env = template.environment { strict = true, limits = { steps = 20000, bytes = 65536 } }

local operands = { "x", "y", "a", "s", "o.k", "a[x]", "i", "1", "2.5", "'b'", "nope", "(x + 1)", "-y",
  "range(end=2)", "self::m(q=x)", "[x, s]", "o" }
local filters = { "upper", "length", "round", "default(value=x)", "safe", "first", "sort", "abs",
  "join(sep=',')", "slice(start=1)", "json_encode", "as_str", "reverse", "int", "fixed", "si" }
local operators = { "+", "-", "*", "/", "%", "==", "!=", "<", ">=", "~", "and", "or", "in" }

local function pick(random, list) return list[random(#list)] end

local function expression(random)
  local text = pick(random, operands)
  if random(2) == 1 then
    text = text .. " " .. pick(random, operators) .. " " .. pick(random, operands)
  end
  if random(3) == 1 then text = text .. " | " .. pick(random, filters) end
  return text
end

-- Well-formed: statements in statements, with expressions that may or may not make sense.
local function body(random, depth)
  local parts = {}
  for i = 1, random(3) do
    local kind = depth > 3 and 1 or random(6)
    local inner = kind > 2 and body(random, depth + 1)
    if kind == 1 then parts[i] = "{{ " .. expression(random) .. " }}" end
    if kind == 2 then parts[i] = "{% set x = " .. expression(random) .. " -%} " end
    if kind == 3 then parts[i] = "{% if " .. expression(random) .. " %}" .. inner .. "{% endif %}" end
    if kind == 4 then parts[i] = "{% for i in a %}" .. inner .. "{% endfor %}" end
    if kind == 5 then parts[i] = "{% filter trim %}" .. inner .. "{% endfilter %}" end
    if kind == 6 then parts[i] = inner end
  end
  return table.concat(parts)
end

local function make(random)
  if random(2) == 1 then
    return "{% macro m(q) %}<{{ q }}>{% endmacro %}" .. body(random, 1)
  end
  local parts = {}
  for i = 1, random(40) do
    parts[i] = random(3) > 1 and pick(random, whole) or pick(random, pieces)
  end
  return table.concat(parts)
end

describe("a random template", function()
  it("gives text or an error with a place", function()
    math.randomseed(seed)
    local rendered = 0
    for i = 1, count do
      local text = make(math.random)
      local output
      local compiled, err = env:compile(text)
      if compiled then
        output, err = compiled { x = 1, y = 2.5, s = "a<b", a = { 3, 1, 2 }, o = { k = "v" } }
      end
      if output then
        rendered = rendered + 1
        assert.is_true(#output <= 65536)
      else
        assert.is_string(err.message, text)
        assert.is_nil(err.message:find("web/template", 1, true), text .. "\n" .. tostring(err))
        assert.is_truthy(err.line or err.limit, text .. "\n" .. tostring(err))
        assert.is_true(#tostring(err) < 4096, i .. text)
      end
    end
    assert.is_true(rendered > count // 20)
  end)
end)
