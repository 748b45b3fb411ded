local json = require "host.json"

local function same_kind(value, expected)
  assert.equal(expected, value)
  assert.equal(math.type(expected), math.type(value))
end

local function refused(text, message, options)
  local value, err, code, offset = json.decode(text, options)
  assert.is_nil(value)
  assert.equal(message, err)
  assert.equal("json", code)
  return offset
end

describe("json.decode", function()
  it("keeps integers as integers and floats as floats", function()
    same_kind(json.decode "1", 1)
    same_kind(json.decode "1.0", 1.0)
    same_kind(json.decode "1e2", 100.0)
    same_kind(json.decode "9223372036854775807", math.maxinteger)
    same_kind(json.decode "-9223372036854775808", math.mininteger)
  end)

  it("makes a float of an integer beyond 64 bits, and of minus zero", function()
    same_kind(json.decode "9223372036854775808", 2.0 ^ 63)
    same_kind(json.decode "-9223372036854775809", -(2.0 ^ 63))
    assert.equal("-0.0", tostring(json.decode "-0"))
  end)

  it("reads numbers to the last bit", function()
    for _, text in ipairs { "0.1", "0.30000000000000004", "5e-324", "2.2250738585072011e-308",
      "1.7976931348623157e308", "123456789012345678901234567890", "9007199254740993.0",
      "0.000001e-310", "1" .. ("0"):rep(300) .. ".5e-300", "3.5e-10", "8.41e21", "4.35",
      "1.00000000000000011102230246251565404236316680908203125",
      "1.00000000000000011102230246251565404236316680908203125" .. ("0"):rep(900) .. "1" } do
      assert.equal(tonumber(text), json.decode(text), text)
    end
  end)

  it("tells null, an empty array and an empty object apart", function()
    assert.equal(json.null, json.decode "null")
    assert.equal(json.array_mt, getmetatable(json.decode "[]"))
    assert.is_nil(getmetatable(json.decode "{}"))
    assert.equal(json.array_mt, getmetatable(json.decode "[1]"))
  end)

  it("reads arrays and objects of any length", function()
    for _, n in ipairs { 0, 1, 31, 32, 33, 64, 100, 1000 } do
      local items, pairs_text = {}, {}
      for i = 1, n do
        items[i] = tostring(i)
        pairs_text[i] = ('"k%d":%d'):format(i, i)
      end
      local list = json.decode("[" .. table.concat(items, ",") .. "]")
      local map = json.decode("{" .. table.concat(pairs_text, ", ") .. "}")
      assert.equal(n, #list)
      local count = 0
      for _ in pairs(map) do count = count + 1 end
      assert.equal(n, count)
      for i = 1, n do
        assert.equal(i, list[i])
        assert.equal(i, map["k" .. i])
      end
    end
  end)

  it("reads escapes and surrogate pairs", function()
    assert.equal('a"b\\/\b\f\n\r\t\u{e9}\u{1F600}\0z',
      json.decode [["a\"b\\\/\b\f\n\r\t\u00e9\ud83d\uDE00\u0000z"]])
    local long = ("x"):rep(600)
    assert.equal(long .. "\n" .. long, json.decode('"' .. long .. "\\n" .. long .. '"'))
  end)

  it("lets the last of equal keys win, or refuses them", function()
    assert.equal(3, json.decode('{"a":1,"b":2,"a":3}').a)
    local many = '{"a":1' .. (',"b":1'):rep(70) .. ',"a":2}'
    assert.equal(2, json.decode(many).a)
    refused('{"a":1,"b":2,"a":3}', "line 1 column 14: an object has this key twice",
      { duplicates = false })
    assert.same({ a = { a = 1 }, b = 2 }, json.decode('{"a":{"a":1},"b":2}', { duplicates = false }))
    refused('{"a":null,"a":1}', "line 1 column 11: an object has this key twice",
      { duplicates = false })
  end)

  it("says where and what is wrong", function()
    local offset = refused('{"a":1x}', "line 1 column 7: expected ',' or '}', got 'x'")
    assert.equal(7, offset)
    offset = refused('[1,\n "\u{e9}", ?]', "line 2 column 7: expected a value, got '?'")
    assert.equal(12, offset)
    refused("", "line 1 column 1: expected a value, got the end of the text")
    refused("[1,]", "line 1 column 4: expected a value, got ']'")
    refused("[,1]", "line 1 column 2: expected a value or ']', got ','")
    refused("{1:2}", "line 1 column 2: expected a key in quotes or '}', got '1'")
    refused('{"a":1,}', "line 1 column 8: expected a key in quotes, got '}'")
    refused('{"a" 1}', "line 1 column 6: expected ':', got '1'")
    refused("[1 2]", "line 1 column 4: expected ',' or ']', got '2'")
    refused("1 2", "line 1 column 3: expected the end of the text, got '2'")
    refused("nul", "line 1 column 1: expected a value, got 'n'")
    refused("01", "line 1 column 2: expected the end of the text, got '1'")
    refused("-", "line 1 column 2: expected a digit, got the end of the text")
    refused("1.", "line 1 column 3: expected a digit, got the end of the text")
    refused("1.5e+x", "line 1 column 6: expected a digit, got 'x'")
    refused('"abc', "line 1 column 5: expected '\"' at the end of the string, got the end of the text")
    refused("\0", "line 1 column 1: expected a value, got byte 0x00")
    refused("\u{FEFF}1", "line 1 column 1: expected a value, got a byte order mark")
    refused("NaN", "line 1 column 1: expected a value, got 'N'")
    refused("[1] // x", "line 1 column 5: expected the end of the text, got '/'")
  end)

  it("refuses text that is not UTF-8, half pairs and raw control characters", function()
    for _, bytes in ipairs { "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80" } do
      refused('"ab' .. bytes .. '"', "line 1 column 4: a string that is not UTF-8")
    end
    refused([["\ud800"]], "line 1 column 2: half of a surrogate pair")
    refused([["\udc00\ud800"]], "line 1 column 2: half of a surrogate pair")
    refused([["\ud83dx"]], "line 1 column 2: half of a surrogate pair")
    refused([["\u12g4"]], "line 1 column 2: \\u must be followed by four hexadecimal digits")
    refused([["\x41"]], "line 1 column 2: an unknown escape in a string")
    refused('"a\nb"', "line 1 column 3: a control character in a string must be written as an escape")
  end)

  it("refuses numbers too large for a double", function()
    refused("[1e999999]", "line 1 column 2: a number too large for a double")
    refused("-1e309", "line 1 column 1: a number too large for a double")
    assert.equal(0.0, json.decode "1e-999999")
  end)

  it("limits depth and size", function()
    assert.is_table(json.decode(("["):rep(64) .. ("]"):rep(64)))
    refused(("["):rep(65) .. ("]"):rep(65),
      "line 1 column 65: too many levels of arrays and objects")
    assert.is_table(json.decode(('{"a":'):rep(1000) .. "1" .. ("}"):rep(1000), { max_depth = 1000 }))
    refused(("["):rep(20000), "line 1 column 65: too many levels of arrays and objects")
    refused("[1,2]", "the text has 5 bytes, the limit is 4 (option max_size)", { max_size = 4 })
    assert.error_matches(function() json.decode("1", { max_depth = 0 }) end, "depth must be 1 to 1024")
  end)

  it("raises where the call itself is wrong", function()
    assert.error_matches(function() json.decode {} end, "string expected")
    assert.error_matches(function() json.decode("1", { max_depth = "x" }) end, "max_depth")
  end)
end)

describe("json.encode", function()
  it("writes numbers so that they come back as they were", function()
    assert.equal("1", json.encode(1))
    assert.equal("1.0", json.encode(1.0))
    assert.equal("-0.0", json.encode(-0.0))
    assert.equal("0.1", json.encode(0.1))
    assert.equal("0.30000000000000004", json.encode(0.1 + 0.2))
    assert.equal("1e16", json.encode(1e16))
    assert.equal("1000000000000000.0", json.encode(1e15))
    assert.equal("1.5e300", json.encode(1.5e300))
    assert.equal("0.00001", json.encode(1e-5))
    assert.equal("1e-6", json.encode(1e-6))
    assert.equal("5e-324", json.encode(5e-324))
    assert.equal("1.7976931348623157e308", json.encode(1.7976931348623157e308))
    assert.equal("-9223372036854775808", json.encode(math.mininteger))
    assert.equal("123456.789", json.encode(123456.789))
    assert.equal("4.35", json.encode(4.35))
    assert.equal("1e23", json.encode(1e23))
  end)

  it("brings back any double", function()
    local seed = 1
    for i = 1, 20000 do
      seed = seed * 6364136223846793005 + 1442695040888963407
      local x = string.unpack("d", string.pack("i8", seed))
      if i % 2 == 0 then x = (seed >> 40) / 10.0 ^ (i % 12) end
      if x == x and x ~= math.huge and x ~= -math.huge then
        same_kind(json.decode(json.encode(x)), x)
      end
    end
  end)

  it("writes the fewest digits for decimals", function()
    for i = 1, 2000 do
      local text = ("%d.%d"):format(i * 7919 % 100000, (i * 104729) % 1000000 * 10 + 1)
      assert.equal(text, json.encode(tonumber(text)))
    end
  end)

  it("does not ask the locale for its decimal point", function()
    local old = os.setlocale()
    local other = os.setlocale "de_DE.UTF-8" or os.setlocale "fr_FR.UTF-8"
    assert.equal("0.30000000000000004", json.encode(0.1 + 0.2))
    assert.equal(0.1 + 0.2, json.decode "0.30000000000000004")
    if other then os.setlocale(old) end
  end)

  it("keeps arrays and objects what they were", function()
    for _, text in ipairs { "[]", "{}", "[[],{}]", "[1,2.0,null,true,\"x\"]", '{"a":[]}', "null",
      '[{"k":[[1],[]]}]', "[null]", "[null,null,1]" } do
      assert.equal(text, json.encode(json.decode(text)))
    end
    assert.equal("{}", json.encode {})
    assert.equal("[]", json.encode(json.array()))
    assert.equal("[]", json.encode(json.empty_array))
    assert.equal("[]", json.encode(setmetatable({}, json.empty_array_mt)))
    assert.equal("null", json.encode(json.null))
    assert.equal("null", json.encode(nil))
    assert.equal("null", tostring(json.null))
  end)

  it("writes strings without more escapes than needed", function()
    assert.equal([["a\"b\\c/\b\f\n\r\t\u0001\u001f]] .. "\127\u{e9}\u{1F600}\"",
      json.encode "a\"b\\c/\b\f\n\r\t\1\31\127\u{e9}\u{1F600}")
    assert.equal('"\\u0000"', json.encode "\0")
    local long = ("long text \u{e9} "):rep(100)
    assert.equal('"' .. long .. '\\n"', json.encode(long .. "\n"))
  end)

  it("sorts keys by bytes when asked", function()
    local value = { b = 1, a = { z = 1, Z = 2, ["\u{e9}"] = 3, aa = 4, a = 5, [""] = 6 }, ab = {} }
    assert.equal('{"a":{"":6,"Z":2,"a":5,"aa":4,"z":1,"\u{e9}":3},"ab":{},"b":1}',
      json.encode(value, { sort = true }))
    local many, keys = {}, {}
    for i = 1, 500 do
      keys[i] = ("k%03d"):format(i)
      many[keys[i]] = { x = i, b = { i } }
    end
    local text = json.encode(many, { sort = true })
    local at = 1
    for i = 1, 500 do
      local piece = ('"%s":{"b":[%d],"x":%d}'):format(keys[i], i, i)
      assert.equal(piece, text:sub(at + 1, at + #piece))
      at = at + 1 + #piece
    end
  end)

  it("indents by two spaces when asked", function()
    assert.equal('{\n  "a": [\n    1,\n    2\n  ],\n  "b": {},\n  "c": []\n}',
      json.encode({ a = { 1, 2 }, b = {}, c = json.array() }, { pretty = true, sort = true }))
  end)

  it("writes null into the holes of an array, and refuses one that is mostly holes", function()
    assert.equal("[null,2]", json.encode { [2] = 2 })
    local backwards = {}
    for i = 20, 1, -1 do backwards[i] = i end
    assert.equal("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]", json.encode(backwards))
    assert.error_matches(function() json.encode { [1000] = 1 } end,
      "cannot encode an array with so many holes at the top: use names as keys")
  end)

  it("names the path of what it cannot encode", function()
    local cases = {
      [".a.b[3]"] = { { a = { b = { 1, 2, print } } }, "a function" },
      ["[2][\"two words\"]"] = { { 1, { ["two words"] = 0 / 0 } }, "NaN" },
      [".x"] = { { x = math.huge }, "an infinite number" },
      ["the top"] = { print, "a function" },
      [".bad"] = { { bad = "\xff" }, "a string that is not UTF-8" },
      [".long"] = { { long = ("x"):rep(1000) .. "\xff" }, "a string that is not UTF-8" },
      [".co"] = { { co = coroutine.create(print) }, "a coroutine" },
    }
    for path, case in pairs(cases) do
      local ok, err = pcall(json.encode, case[1])
      assert.is_false(ok)
      assert.truthy(err:find("cannot encode " .. case[2] .. " at " .. path, 1, true), err)
    end
    assert.error_matches(function() json.encode { 1, 2, x = 3 } end,
      "cannot encode a table with both indexes and names as keys at the top")
    assert.error_matches(function() json.encode { x = 1, [true] = 1 } end, "cannot encode a key that is neither")
    assert.error_matches(function() json.encode { [0] = 1 } end, "an index below 1")
    assert.error_matches(function() json.encode { [1.5] = 1 } end, "cannot encode")
  end)

  it("meets a cycle at the depth limit", function()
    local loop = {}
    loop.me = loop
    assert.error_matches(function() json.encode(loop) end,
      "cannot encode this many levels %(a cycle%?%) at %.me%.me")
    local list = {}
    list[1], list[2] = list, list
    assert.error_matches(function() json.encode(list) end, "a cycle")
    assert.equal("[[1]]", json.encode({ { 1 } }, { max_depth = 2 }))
    local text = ("["):rep(1024) .. ("]"):rep(1024)
    local deep = json.decode(text, { max_depth = 1024 })
    assert.equal(text, json.encode(deep, { max_depth = 1024 }))
    assert.error_matches(function() json.encode({ { { 1 } } }, { max_depth = 2 }) end, "at %[1%]%[1%]")
  end)

  it("limits what it writes", function()
    local shared = { "0123456789" }
    for _ = 1, 40 do shared = { shared, shared } end
    assert.error_matches(function() json.encode(shared) end,
      "cannot encode more than 8388608 bytes %(option max_size%)")
    assert.error_matches(function() json.encode({ 1, 2, 3 }, { max_size = 6 }) end, "more than 6 bytes")
    assert.equal("[1,2,3]", json.encode({ 1, 2, 3 }, { max_size = 7 }))
  end)

  it("goes on after an error", function()
    assert.is_false(pcall(json.encode, { a = { b = print } }, { sort = true }))
    assert.equal('{"a":1}', json.encode({ a = 1 }, { sort = true }))
  end)
end)

describe("json.new", function()
  it("gives an instance with settings of its own", function()
    local own = json.new()
    assert.equal(2, own.decode_max_depth(2))
    assert.is_nil(own.decode "[[[]]]")
    assert.is_table(json.decode "[[[]]]")
    assert.equal(64, json.decode_max_depth())
    assert.equal(64, own.encode_max_depth())
    assert.equal(json.array_mt, own.array_mt)
  end)
end)
