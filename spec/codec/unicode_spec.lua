local unicode = require "host.unicode"

local function each(f, cases)
  for text, expected in pairs(cases) do assert.equal(expected, f(text), text) end
end

describe("host.unicode", function()
  it("maps case fully", function()
    each(unicode.upper, { ["straße"] = "STRASSE", ["ŉ"] = "ʼN", ["abc"] = "ABC", [""] = "",
      ["éà"] = "ÉÀ", ["ﬁ"] = "FI", ["ΐ"] = "\u{399}\u{308}\u{301}", ["i"] = "I" })
    each(unicode.lower, { ["ÉCOLE"] = "école", ["ΌΔΟΣ ΣΑΣ"] = "όδος σας", ["İ"] = "i̇", ["ABC"] = "abc" })
    each(unicode.upper, { [("ΐ"):rep(500)] = ("\u{399}\u{308}\u{301}"):rep(500) })
  end)

  it("capitalizes texts and words", function()
    each(unicode.capitalize, { ["hELLO wORLD"] = "Hello world", ["éTÉ"] = "Été", [""] = "", ["ßx"] = "SSx" })
    each(unicode.title, { ["foo  bar"] = "Foo  Bar", ["FOO\tbar"] = "Foo\tBar", ["foo-bar"] = "Foo-Bar",
      ["don't STOP"] = "Don't Stop", ["_foo_ 'bar' b'az"] = "_foo_ 'Bar' B'az", ["élan VITAL"] = "Élan Vital",
      ["2nd x"] = "2nd X", ["foo (bar)"] = "Foo (Bar)", ["x''y z'-w"] = "X''y Z'-W", ["-"] = "-" })
  end)

  it("trims White_Space at either end", function()
    local space = "\u{a0}\u{3000}\t\n\u{2028} \u{1680}\u{85}"
    assert.equal("a b", unicode.trim(space .. "a b" .. space))
    assert.equal("a" .. space, unicode.trim_start(space .. "a" .. space))
    assert.equal(space .. "a", unicode.trim_end(space .. "a" .. space))
    assert.equal("", unicode.trim(space))
    assert.equal("\u{200b}x", unicode.trim "\u{200b}x")
    assert.is_true(unicode.is_space(space))
    assert.is_false(unicode.is_space "")
    assert.is_false(unicode.is_space " x")
  end)

  it("splits and counts words", function()
    assert.same({ "one", "two", "drei" }, unicode.words " one\u{2003}two\n\u{3000}drei ")
    assert.equal(3, unicode.word_count " one\u{2003}two\n\u{3000}drei ")
    assert.same({}, unicode.words " \n")
  end)

  it("counts and reverses code points", function()
    assert.equal(4, unicode.length "aé漢😀")
    assert.equal("😀漢éa", unicode.reverse "aé漢😀")
    assert.same({ "a", "é", "漢", "😀" }, unicode.chars "aé漢😀")
    assert.equal(0, unicode.length "")
  end)

  it("keeps clusters whole", function()
    local clusters = { "e\u{301}", "\r\n", "\n", "👨‍👩‍👧", "🇩🇪", "🇫🇷", "각", "\u{1112}\u{1161}\u{11ab}",
      "👍🏽", "नि", "a", "❤️", "\u{600}1", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "한\u{302}" }
    local text = table.concat(clusters)
    assert.same(clusters, unicode.graphemes(text))
    assert.equal(#clusters, unicode.grapheme_count(text))
    local i = 0
    for cluster in unicode.each_grapheme(text) do
      i = i + 1
      assert.equal(clusters[i], cluster)
    end
    assert.equal(#clusters, i)
    assert.same({ "🇩🇪", "🇫" }, unicode.graphemes "🇩🇪🇫")
    assert.same({ "a\u{200d}", "b" }, unicode.graphemes "a\u{200d}b")
    assert.same({ "\n", "\u{301}" }, unicode.graphemes "\n\u{301}")
  end)

  it("cuts after so many clusters and says whether it did", function()
    local function cut(...) return { unicode.truncate(...) } end
    assert.same({ "👨‍👩‍👧e\u{301}", true }, cut("👨‍👩‍👧e\u{301}x", 2))
    assert.same({ "abc", false }, cut("abc", 3))
    assert.same({ "", true }, cut("abc", 0))
    assert.same({ "", false }, cut("", 0))
    assert.error_matches(function() unicode.truncate("abc", -1) end, "must not be negative")
  end)

  it("writes other scripts in ASCII", function()
    each(unicode.ascii, { ["Åsa Łódź"] = "Asa Lodz", ["Привет, мир"] = "Privet, mir", ["서울"] = "seoul",
      ["Ελλάδα"] = "Ellada", ["ありがとう"] = "arigatou", ["カタカナ ガ ﾊﾟ"] = "katakana ga ha",
      ["œuvre ﬁn"] = "oeuvre fin", ["½ ™ Ａ ①"] = "1/2 TM A 1", ["“q” – ‘x’…"] = "\"q\" - 'x'...",
      ["שלום"] = "shlvm", ["Ђорђе"] = "Djordje", ["Þór Æð"] = "Thor AEd", ["漢x"] = "x", ["€5"] = "EUR5",
      ["Tiếng Việt"] = "Tieng Viet", ["a\u{a0}b"] = "a b", ["ß"] = "ss" })
  end)

  it("makes names for URLs", function()
    each(unicode.slug, { [" Hello,  World! "] = "hello-world", ["Åsa & Łódź"] = "asa-lodz", ["---"] = "",
      ["a_b.c"] = "a-b-c", ["Ünï cödé"] = "uni-code", ["漢"] = "", ["Привет мир"] = "privet-mir" })
  end)

  it("composes", function()
    assert.equal("é", unicode.nfc "e\u{301}")
    assert.equal("한", unicode.nfc "\u{1112}\u{1161}\u{11ab}")
    assert.equal(200 * #"𝅗𝅥", #unicode.nfc(("𝅗𝅥"):rep(200)) // (#unicode.nfc "𝅗𝅥" / #"𝅗𝅥") // 1)
    assert.equal("", unicode.nfc "")
  end)

  it("finds and repairs what is not UTF-8", function()
    assert.is_true(unicode.valid "aé漢😀")
    local cases = {
      ["a\xff"] = { 2, "a\u{fffd}" },
      ["long enough ascii \xc3"] = { 19, "long enough ascii \u{fffd}" },
      ["\xe2\x82x"] = { 1, "\u{fffd}x" },
      ["\xf0\x9f\x98"] = { 1, "\u{fffd}" },
      ["\xed\xa0\x80"] = { 1, "\u{fffd}\u{fffd}\u{fffd}" },
      ["\xc0\xafx\x80"] = { 1, "\u{fffd}\u{fffd}x\u{fffd}" },
      ["\xf4\x90\x80\x80"] = { 1, "\u{fffd}\u{fffd}\u{fffd}\u{fffd}" },
      ["\xe2\xe2\x82\xac"] = { 1, "\u{fffd}€" },
    }
    for bytes, case in pairs(cases) do
      local valid, position = unicode.valid(bytes)
      assert.is_false(valid)
      assert.equal(case[1], position)
      assert.equal(case[2], unicode.repair(bytes))
    end
    assert.equal("fine é", unicode.repair "fine é")
  end)

  it("raises for bytes that are not UTF-8 and for too many", function()
    for _, name in ipairs { "upper", "title", "length", "words", "graphemes", "ascii", "trim", "reverse" } do
      assert.error_matches(function() unicode[name] "ab\xff" end, "not UTF%-8 at byte 3")
      assert.error_matches(function() unicode[name](("x"):rep(1048577)) end, "the limit is 1048576")
    end
  end)
end)
