local cases = require "spec.support.pattern_cases"

local function too_slow(n, f, ...)
  local before = os.clock()
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.truthy(err:find("pattern took too many steps on a subject of " .. n .. " bytes", 1, true), err)
  assert.truthy(os.clock() - before < 10)
end

describe("patterns", function()
  it("give what stock Lua gives, errors included", function()
    for seed = 1, 4 do
      local count = 10000
      local stock = assert(io.popen(("lua5.4 spec/support/pattern_cases.lua %d %d"):format(seed, count)))
      local ours, i, matched, failed = cases.transcript(seed, count), 0, 0, 0
      for line in stock:lines() do
        i = i + 1
        if line ~= ours[i] then assert.equal(line, ours[i], ("seed %d case %d"):format(seed, i)) end
        if line:find "^error" then failed = failed + 1 elseif not line:find "^ok nil" then matched = matched + 1 end
      end
      stock:close()
      assert.equal(count, i)
      assert.truthy(matched > 2000)
      assert.truthy(failed > 1000)
    end
  end)

  it("keep the limits of captures and nesting", function()
    local function err(...) return select(2, pcall(...)) end
    assert.equal("too many captures", err(string.match, "a", ("()"):rep(33)))
    assert.equal(32, select("#", string.match("a", ("()"):rep(32))))
    assert.equal("pattern too complex", err(string.find, ("a"):rep(300), ("a?"):rep(300)))
    assert.equal(1, (string.find(("a"):rep(150), ("a?"):rep(150))))
  end)

  it("end with an error when they take too many steps", function()
    local text = ("x"):rep(200)
    too_slow(200, string.find, text, ".-.-.-.-y")
    too_slow(200, string.match, text, ".*.*.*.*y")
    too_slow(200, string.gsub, text, "x*x*x*x*y", "")
    too_slow(200, function() return string.gmatch(text, "(x-)(x-)(x-)(x-)y")() end)
    too_slow(100000, string.find, ("x"):rep(100000), "x*y")
    too_slow(100000, string.find, ("("):rep(100000), "%b()")
    local set = "[" .. ("abcdefgh"):rep(100) .. "]"
    too_slow(1000000, string.gsub, ("x"):rep(1000000), set .. "?" .. set, "") -- read for each character
    too_slow(100000, string.gsub, ("x"):rep(100000), "()", ("%0"):rep(1000))
  end)

  it("leave room for honest work on long subjects", function()
    local text = ("lorem ipsum dolor sit amet "):rep(40000)
    local _, n = text:gsub("%a+", function(word) return word:upper() end)
    assert.equal(200000, n)
    assert.equal(40000, select(2, text:gsub("amet", "%0!")))
    local count = 0
    for _ in text:gmatch "%S+" do count = count + 1 end
    assert.equal(200000, count)
    assert.is_nil(text:find "%d")
    assert.same({ text, 0 }, { text:gsub("[" .. ("\128-\255"):rep(1000) .. "]", "") }) -- read once
  end)

  it("search plain texts in linear time", function()
    local before = os.clock()
    assert.is_nil(string.find(("a"):rep(1000000), ("a"):rep(500000) .. "b", 1, true))
    assert.truthy(os.clock() - before < 5)
    assert.same({ 3, 3 }, { string.find("a.b.", "b", 1, true) })
    assert.same({ 4, 3 }, { string.find("abc", "", 4, true) })
    assert.is_nil(string.find("abc", "", 5, true))
  end)

  it("let a replacement function raise and use patterns itself", function()
    assert.equal("<a>-<b>", (("a-b"):gsub("%a", function(c) return (c:gsub("^", "<")) .. ">" end)))
    assert.error_matches(function() return (("a"):gsub("a", function() error "mine" end)) end, "mine")
  end)
end)

describe("string.rep", function()
  it("repeats, with separators", function()
    for _, text in ipairs { "", "a", "abc" } do
      for _, between in ipairs { "", ",", ", " } do
        for n = -1, 20 do
          local expected = {}
          for i = 1, n do expected[i] = text end
          assert.equal(table.concat(expected, between), text:rep(n, between))
        end
      end
    end
    assert.equal("aaa", ("a"):rep(3))
  end)

  it("is bounded in time and size", function()
    assert.equal("", (""):rep(math.maxinteger))
    assert.error_matches(function() return ("x"):rep(1 << 40) end, "resulting string too large")
    assert.error_matches(function() return ("x"):rep(math.maxinteger, "xyz") end, "resulting string too large")
  end)
end)

describe("the table library", function()
  local endless = setmetatable({}, { __len = function() return 1 << 40 end, __index = function() return "x" end })

  it("refuses lengths and ranges that no table has", function()
    assert.error_matches(function() table.move({}, 1, 1 << 40, 2) end, "too many items for one call")
    assert.error_matches(function() table.insert(endless, 1, "x") end, "too many items for one call")
    assert.error_matches(function() table.remove(endless, 1) end, "too many items for one call")
    assert.error_matches(function() table.concat(endless) end, "too many items for one call")
    assert.error_matches(function() table.concat(endless, "", 1, math.maxinteger) end, "too many items")
    assert.error_matches(function() table.concat(endless, "", math.mininteger, math.maxinteger) end, "too many items")
  end)

  it("says how many values and what length of a format a call takes", function()
    local t = {}
    for i = 1, 9000 do t[i] = i end
    assert.error_matches(function() return ("%d"):rep(9000):format(table.unpack(t)) end,
      "more than 8192 values for one call: join parts by table.concat")
    assert.equal(4 * 8191, #("%04d"):rep(8191):format(table.unpack(t, 1, 8191)))
    assert.error_matches(function() return string.packsize(("b"):rep(2^20 + 1)) end, "format of more than 1 MiB")
    assert.error_matches(function() return utf8.len(("x"):rep(2^24 + 1)) end, "more than 16 MiB")
    local q = ("x"):rep(600000)
    assert.error_matches(function() return ("%q%q"):format(q, q) end, "more than 1 MiB to be quoted")
  end)

  it("still does its work", function()
    local t = { 3, 1, 2 }
    table.insert(t, 4)
    table.insert(t, 1, 0)
    assert.equal(0, table.remove(t, 1))
    table.sort(t)
    assert.equal("1,2,3,4", table.concat(t, ","))
    table.sort(t, function(a, b) return a > b end)
    assert.equal("4321", table.concat(t))
    assert.same({ 4, 4, 3, 2, 1 }, table.move(t, 1, 4, 2))
    assert.equal("23", table.concat({ 1, 2, 3 }, "", 2))
    assert.equal("xx", table.concat(endless, "", 5, 6))
    local proxy = setmetatable({ "b", "a" }, {})
    table.sort(proxy)
    assert.equal("ab", table.concat(proxy))
  end)

  it("names its functions in errors", function()
    assert.error_matches(function() table.concat({ {} }) end,
      "invalid value %(table%) at index 1 in table for 'concat'")
    assert.error_matches(function() table.sort({ 1, "x" }) end, "attempt to compare")
    assert.error_matches(function() table.insert({}, 5, 1) end,
      "bad argument #2 to 'insert' %(position out of bounds%)")
    assert.error_matches(function() table.concat(1) end, "bad argument #1 to 'concat' %(table expected")
    assert.error_matches(function() table.sort() end, "bad argument #1 to 'sort' %(table expected")
  end)

  it("bounds sorts that no hook can end", function()
    local long, many = ("x"):rep(1000000), {}
    local two = { long .. "1", long .. "2" }
    for i = 1, 20000 do many[i] = two[i * 7 % 3 % 2 + 1] end
    assert.error_matches(function() table.sort(many) end, "sort took too many steps on 20000 items")
    local numbers = {}
    for i = 1, 300000 do numbers[i] = i * 7919 % 300007 end
    assert.error_matches(function() table.sort(numbers, math.ult) end, "sort took too many steps on 300000 items")
    local fewer = {}
    for i = 1, 50000 do fewer[i] = i * 7919 % 50021 end
    table.sort(fewer)
    for i = 2, #fewer do assert(fewer[i - 1] < fewer[i]) end
    local texts = {}
    for i = 1, 2000 do texts[i] = ("y"):rep(10000) .. ("%05d"):format(i * 7919 % 2003) end
    table.sort(texts)
    for i = 2, #texts do assert(texts[i - 1] < texts[i]) end
  end)

  it("refuses an endless date format", function()
    assert.error_matches(function() os.date(("%c"):rep(3000)) end, "more than 4096 bytes")
    assert.equal("1970", os.date("!%Y", 0))
  end)
end)

describe("lua-cjson", function()
  local cjson = require "cjson"

  it("works within bounds that host.json does not need", function()
    assert.same({ a = { 1, "x" } }, cjson.decode '{"a":[1,"x"]}')
    assert.equal('{"a":[1,"x"]}', cjson.encode { a = { 1, "x" } })
    local _, err = pcall(function() cjson.decode "[1,}" end)
    assert.matches("string_spec.lua:%d+: Expected value", err)
    assert.error_matches(function() cjson.decode((" "):rep(2^20) .. "1") end, "host.json.decode takes more")
    assert.error_matches(function() cjson.encode(("x"):rep(2^20 + 1)) end, "host.json.encode takes more")
    local t = {}
    for _ = 1, 30 do t = { t, t } end
    assert.error_matches(function() cjson.encode(t) end, "cjson.encode takes 100000 values at most")
    assert.error_matches(function() cjson.new().encode(t) end, "cjson.encode takes 100000 values at most")
  end)

  it("has no settings that take its own bounds away", function()
    for _, module in ipairs { cjson, cjson.new() } do
      assert.is_nil(module.encode_max_depth)
      assert.is_nil(module.decode_max_depth)
      assert.is_nil(module.encode_sparse_array)
    end
  end)
end)
