local regex = require "host.regex"

local linear = { dialect = "linear" }

local function fails(code, message, ...)
  local value, err, got = ...
  assert.is_nil(value)
  assert.truthy(tostring(err):find(message, 1, true), tostring(err))
  assert.equal(code, got)
end

describe("host.regex", function()
  it("tests, finds and captures", function()
    assert.is_true(regex.test("l+o", "hello"))
    assert.is_false(regex.test("^l", "hello"))
    assert.same({ 3, 5 }, { regex.find("l+o", "hello") })
    assert.same({ 1, 0 }, { regex.find("x*", "abc") })
    assert.is_false(regex.find("x", "abc"))
    assert.same({ 4, 4 }, { regex.find("a", "abba", 2) })
    local m = regex.match("(?<year>\\d{4})-(\\d\\d)(x)?", "on 2024-05")
    assert.equal("2024-05", m[0])
    assert.equal("2024", m[1])
    assert.equal("05", m[2])
    assert.is_false(m[3])
    assert.same({ 4, 10 }, { m.first, m.last })
    assert.equal("2024", m.names.year)
    assert.is_false(regex.match("z", "abc"))
  end)

  it("knows Unicode's characters", function()
    assert.is_true(regex.test("^\\w+$", "naïveté"))
    assert.is_true(regex.test("^\\d$", "٣"))
    assert.is_true(regex.test("a\\sb", "a\u{2003}b"))
    assert.is_true(regex.test("(?i)^STRASSE|éCOLE$", "ÉCOLE"))
    assert.is_true(regex.test("^.$", "😀"))
    assert.is_true(regex.test("^\\p{Greek}+$", "αβγ"))
    assert.is_true(regex.test("école", "ÉCOLE", { ignore_case = true }))
  end)

  it("takes options", function()
    assert.is_true(regex.test("^b$", "a\nb\nc", { multiline = true }))
    assert.is_false(regex.test("^b$", "a\nb\nc"))
    assert.is_true(regex.test("a.b", "a\nb", { dotall = true }))
    assert.is_true(regex.test("a b # and more", "ab", { extended = true }))
    assert.error_matches(function() regex.test("a", "a", { dialect = "perl" }) end, "dialect")
    assert.error_matches(function() regex.test("a", "a", { ignore_case = 1 }) end, "ignore_case")
  end)

  it("finds all matches, with empty ones between but not beside", function()
    local function texts(...)
      local out = {}
      for i, m in ipairs(regex.all(...)) do out[i] = m[0] .. "@" .. m.first end
      return table.concat(out, " ")
    end
    assert.equal("1@2 22@4 333@7", texts("\\d+", "a1b22c333"))
    assert.equal("@1 a@2 @4", texts("a*", "bab"))
    assert.equal("@1 @3 @6", texts("", "é漢"))
    assert.equal("b@1", texts("b", "bbb", { limit = 1 }))
    assert.equal("", texts("x", "abc"))
  end)

  it("replaces with texts and functions", function()
    assert.same({ "<a> <b>", 2 }, { regex.replace("\\w", "a b", "<$0>") })
    assert.same({ "b=a", 1 }, { regex.replace("(\\w)=(?<v>\\w)", "a=b", "${v}=$1") })
    assert.equal("$1 100%", (regex.replace("x", "x", "$$1 100%")))
    assert.equal("[]b", (regex.replace("(x)?a", "ab", "[$1]")))
    assert.equal("$-", (regex.replace("x", "x", "$-")))
    assert.equal("-a-b-", (regex.replace("", "ab", "-")))
    assert.equal("A1 b B2", (regex.replace("([ab])(\\d)", "a1 b b2", function(m)
      return m[1]:upper() .. m[2]
    end)))
    assert.equal("ab", (regex.replace("a", "ab", function() return nil end)))
    assert.error_matches(function() regex.replace("a", "a", function() return {} end) end, "must return a string")
    assert.error_matches(function() regex.replace("a", "a", "$2") end, "group '2'")
    assert.error_matches(function() regex.replace("(?<n>a)", "a", "${m}") end, "group 'm'")
    assert.error_matches(function() regex.replace("a", "a", true) end, "string or function")
  end)

  it("lets a replacement function use regex, and raise", function()
    local text = regex.replace("\\w+", "one two", function(m)
      for i = 1, 300 do regex.test("other" .. i, m[0]) end
      return (regex.replace("o", m[0], "0"))
    end)
    assert.equal("0ne tw0", text)
    assert.error_matches(function()
      regex.replace("a", "a", function() error "mine" end)
    end, "mine")
    assert.is_true(regex.test("a", "a"))
  end)

  it("escapes texts for patterns", function()
    local text = "a.b*c[d]-{e}(f)|g^h$i?j+k\\l #m&&n\n"
    assert.is_true(regex.test("^" .. regex.escape(text) .. "\\z", text))
    assert.is_true(regex.test("^" .. regex.escape(text) .. "\\z", text, { extended = true, dialect = "linear" }))
    assert.is_true(regex.test("^[" .. regex.escape "]^-a" .. "]+$", "^-]a"))
  end)

  it("says where a pattern is wrong", function()
    fails("pattern", "byte 3: missing closing parenthesis", regex.test("(a", "x"))
    fails("pattern", "byte 1: quantifier does not follow a repeatable item", regex.match("*", "x"))
    fails("pattern", "limit is 16384", regex.test(("a"):rep(20000), "x"))
    fails("pattern", "must not begin with (*", regex.test("(*NO_START_OPT)a", "x"))
    fails("pattern", "UTF-8", regex.test("\xff", "x"))
  end)

  it("refuses ranges whose characters it would take long to look at", function()
    local all = "[" .. ("\u{80}-\u{10ffff}"):rep(9) .. "]"
    assert.same({ nil, "its ranges have more than 8912896 characters", "pattern" }, { regex.test(all, "x") })
    assert.is_nil(regex.test("[" .. ("\\x{80}-\\x{10ffff}"):rep(9) .. "]", "x"))
    assert.is_true(regex.test("[" .. ("\u{1f300}-\u{1f5ff}\\x{2600}-\\x{26ff}"):rep(200) .. "]", "\u{1f310}"))
    assert.is_true(regex.test(("\\d-"):rep(100) .. "\\d", ("1-"):rep(100) .. "1"))
  end)

  it("refuses subjects that are not UTF-8 or too long", function()
    fails("utf8", "not UTF-8 at byte 3", regex.test("a", "ab\xff"))
    fails("limit", "limit is 1048576", regex.test("a", ("x"):rep(1048577)))
    assert.error_matches(function() regex.find("a", "é", 2) end, "inside of a character")
    assert.error_matches(function() regex.find("a", "a", 3) end, "outside of the subject")
  end)

  it("ends patterns that backtrack too much with an error", function()
    local cases = { -- [xy]: PCRE2 looks for a single needed letter before it begins
      { "(a+)+[xy]", ("a"):rep(60) },
      { "(a|aa)+$", ("a"):rep(60) .. "b" },
      { "(.*)(.*)(.*)(.*)(.*)(.*)[xy]", ("a"):rep(300) },
      { "\\s*\\s*\\s*[xy]", (" "):rep(20000) },
      { "(?:.*,)*[xy]", ("a,"):rep(50000) },
      { "a*[xy]", ("a"):rep(1000000) },
      { "(?:a{0,200}){0,100}[xy]", ("a"):rep(100000) },
      { "((a*)*)*[xy]", ("a"):rep(1000) },
      { "a{30000}[xy]", (("a"):rep(29999) .. "b"):rep(30) },
    }
    for _, case in ipairs(cases) do
      for _, options in ipairs { {}, linear } do
        local before = os.clock()
        fails("limit", "too many steps on a subject of " .. #case[2], regex.test(case[1], case[2], options))
        assert.truthy(os.clock() - before < 10)
      end
    end
    fails("limit", "too many steps", regex.all("(?=(a+))a*b|a", ("a"):rep(20000)))
  end)

  it("survives deep recursion", function()
    local deep = ("("):rep(50000) .. (")"):rep(50000)
    local value, _, code = regex.test("^(\\((?1)*\\))*$", deep)
    assert.truthy(value ~= nil or code == "limit")
    fails("pattern", "parentheses are too deeply nested", regex.test(("("):rep(200) .. (")"):rep(200), ""))
  end)

  it("serves long subjects within its budget", function()
    local text = ("lorem ipsum dolor "):rep(5000)
    assert.equal(10000, #regex.all("\\w+", text))
    assert.is_true(regex.test("dolor $", text))
    assert.is_false(regex.test("[^a-z ]", text))
  end)

  it("keeps to the linear dialect when asked", function()
    local refused = {
      ["(a)\\1"] = "byte 4: backreferences", ["(?=a)"] = "look-around", ["a(?!b)"] = "byte 2: look-around",
      ["(?<=a)b"] = "look-around", ["(?<!a)b"] = "look-around", ["(?>a)"] = "group", ["a*+"] = "possessive",
      ["a++"] = "possessive", ["a{2}+"] = "possessive", ["(?R)"] = "references", ["(?1)"] = "group",
      ["(?&x)"] = "references", ["(?P=x)"] = "references", ["(?(1)a|b)"] = "group", ["a(*FAIL)"] = "verbs",
      ["\\Kx"] = "escape", ["\\Gx"] = "escape", ["\\R"] = "escape", ["\\X"] = "escape", ["\\Z"] = "escape",
      ["\\Qa\\E"] = "escape", ["\\k<n>"] = "escape", ["\\g1"] = "escape", ["(?|a|b)"] = "group",
      ["(?C1)a"] = "group", ["[a&&b]"] = "operations", ["[[a]b]"] = "nested", ["a\\"] = "backslash",
      ["(?x)a"] = "extended", ["{(?=x)}"] = "look-around", ["[\\1]"] = "backreferences", ["\\u12"] = "hexadecimal",
      ["\\x{41"] = "expected '}'", ["(?#c)"] = "group",
    }
    for pattern, message in pairs(refused) do
      fails("pattern", message, regex.test(pattern, "x", linear))
    end
    fails("pattern", "look-around", regex.test("#[\n(?=x)#]", "x", { dialect = "linear", extended = true }))
    fails("pattern", "possessive", regex.test("a* +", "x", { dialect = "linear", extended = true }))
  end)

  it("reads the linear dialect as other engines do", function()
    local matches = {
      ["a\\vb"] = "a\vb", ["\\u{1F600}"] = "😀", ["\\u00e9$"] = "é", ["\\U0001F600"] = "😀", ["\\x41\\x{42}"] = "AB",
      ["[]a]+"] = "]", ["[^]a]"] = "b", ["[[:alpha:]-]+$"] = "a-", ["a{2,3}?"] = "aa", ["x{"] = "x{",
      ["(?i)É"] = "é", ["(?i:a)b"] = "Ab", ["(?P<n>a)(?<m>b)"] = "ab", ["\\p{L}+\\pN"] = "é1", ["[\\d\\-\\]]"] = "]",
      ["(?s-i).*"] = "\n", ["a*?"] = "", ["\\bfoo\\b"] = "foo", ["(?m)^b$"] = "a\nb", ["^\\A.\\z"] = "x",
      ["\\p{L}+?"] = "é", ["(a|b)*c|(a|ab)*c"] = "abc",
    }
    for pattern, subject in pairs(matches) do
      assert.is_true(regex.test(pattern, subject, linear), pattern)
    end
    assert.is_false(regex.test("a$", "a\n", linear))
    assert.is_true(regex.test("a$", "a\n"))
  end)

  it("keeps compiled patterns, the ones used last", function()
    local before = regex.stats()
    assert.is_true(regex.test("kept pattern", "kept pattern"))
    assert.is_true(regex.test("kept pattern", "kept pattern"))
    local after = regex.stats()
    assert.equal(before.misses + 1, after.misses)
    assert.equal(before.hits + 1, after.hits)
    for i = 1, 1000 do
      regex.test("pattern number " .. i, "")
      if i % 100 == 0 then regex.test("kept pattern", "") end
    end
    after = regex.stats()
    assert.equal(256, after.entries)
    assert.truthy(after.evicted > 700)
    local hits = after.hits
    regex.test("kept pattern", "")
    assert.equal(hits + 1, regex.stats().hits)
  end)
end)
