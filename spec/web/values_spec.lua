local fakes = require "spec.support.fakes"
fakes.install()
local check = require "web.check"
local duration = require "web.duration"
local escape = require "web.escape"
local etag = require "web.etag"
local ids = require "pictures.ids"
local json = require "host.json"
local merge = require "web.merge"


describe("a span of time", function()
  it("is a number and a unit", function()
    assert.equal(90, duration.parse "90s")
    assert.equal(900, duration.parse "15m")
    assert.equal(7200, duration.parse "2h")
    assert.equal(86400, duration.parse "1d")
    assert.equal(0, duration.parse "0s")
  end)

  it("is nothing else", function()
    for _, text in ipairs { "", "90", "s", "-1s", "1.5h", " 1s", "1s ", "1w", "1S", "1s1m",
      "9999999999999d" } do
      assert.is_nil(duration.parse(text), text)
    end
    assert.is_nil(duration.parse(90))
    assert.is_nil(duration.parse(nil))
  end)

  it("is written the shortest exact way", function()
    for seconds, text in pairs { [90] = "90s", [900] = "15m", [7200] = "2h", [86400] = "1d" } do
      assert.equal(text, duration.format(seconds))
    end
  end)
end)


describe("a name", function()
  it("may have letters, digits and . _ ~ @ + -", function()
    for _, id in ipairs { "a", "A-b_c.d~e@f+1", "0", ("x"):rep(100), "a..b", "-", "@" } do
      assert.is_true(ids.valid(id), id)
    end
  end)

  it("may have nothing else, so that no key can look like another", function()
    for _, id in ipairs { "", ".", "..", "...", "a:b", "x:session:y", "a/b", "a b", "ä", "a\n", "a\0b",
      "%41", "a*", "[a]", ("x"):rep(101) } do
      assert.is_false(ids.valid(id), id)
    end
    assert.is_false(ids.valid(nil))
    assert.is_false(ids.valid(7))
  end)

  it("makes a key that fits a topic", function()
    local long = ("x"):rep(100)
    assert.equal("user:u:session:s", ids.key("u", "s"))
    assert.equal("session:s", ids.key(nil, "s"))
    assert.is_true(#ids.key(long, long) <= 255)
  end)
end)


describe("a merge patch", function()
  local cases = { -- RFC 7396, appendix A
    { '{"a":"b"}', '{"a":"c"}', '{"a":"c"}' },
    { '{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}' },
    { '{"a":"b"}', '{"a":null}', "{}" },
    { '{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}' },
    { '{"a":["b"]}', '{"a":"c"}', '{"a":"c"}' },
    { '{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}' },
    { '{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}' },
    { '{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}' },
    { '["a","b"]', '["c","d"]', '["c","d"]' },
    { '{"a":"b"}', '["c"]', '["c"]' },
    { '{"a":"foo"}', '"bar"', '"bar"' },
    { '{"e":null}', '{"a":1}', '{"e":null,"a":1}' },
    { "[1,2]", '{"a":"b","c":null}', '{"a":"b"}' },
    { "{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}' },
    { '{"a":{"x":1}}', '{"a":{}}', '{"a":{"x":1}}' },
    { '{"a":1}', '{"a":[]}', '{"a":[]}' },
  }
  for _, case in ipairs(cases) do
    it(("%s with %s is %s"):format(table.unpack(case)), function()
      local target, patch = json.decode(case[1]), json.decode(case[2])
      assert.same(json.decode(case[3]), merge(target, patch))
      assert.same(json.decode(case[1]), target)
      assert.same(json.decode(case[2]), patch)
    end)
  end
end)


describe("an entity tag", function()
  it("matches If-None-Match weakly", function()
    assert.is_true(etag.known('"1"', '"1"'))
    assert.is_true(etag.known('W/"1"', '"1"'))
    assert.is_true(etag.known('"0", "1"', '"1"'))
    assert.is_true(etag.known(' * ', '"1"'))
    assert.is_false(etag.known('"2"', '"1"'))
    assert.is_false(etag.known("1", '"1"'))
    assert.is_false(etag.known(nil, '"1"'))
  end)

  it("matches If-Match strongly", function()
    assert.is_true(etag.holds(nil, '"1"'))
    assert.is_true(etag.holds("*", '"1"'))
    assert.is_true(etag.holds('"0", "1"', '"1"'))
    assert.is_false(etag.holds('W/"1"', '"1"'))
    assert.is_false(etag.holds('"2"', '"1"'))
    assert.is_false(etag.holds("", '"1"'))
  end)
end)


describe("a check of fields", function()
  local function refuses(field, text, spec)
    local ok, err = pcall(check.fields, json.decode(text), spec)
    assert.is_false(ok, text)
    assert.equal(400, err.status)
    assert.equal("invalid", err.code)
    assert.equal(field, err.fields and err.fields.field)
    return err.message
  end

  it("takes what fits, and null for what may be absent", function()
    local got = check.fields(json.decode '{"a":"x","b":null,"c":{}}',
      { a = "string", b = "integer?", c = "object", d = "array?" })
    assert.same({ a = "x", c = {} }, got)
  end)

  it("names the field that is missing, wrong or unknown", function()
    refuses("a", "{}", { a = "string" })
    refuses("a", '{"a":null}', { a = "string" })
    refuses("a", '{"a":1}', { a = "string" })
    refuses("a", '{"a":1.5}', { a = "integer" })
    refuses("a", '{"a":"1"}', { a = "integer?" })
    refuses("a", '{"a":[]}', { a = "object" })
    refuses("a", '{"a":{}}', { a = "array" })
    local message = refuses("b", '{"b":1}', { a = "string?", c = "string?" })
    assert.truthy(message:find("known fields: a, c", 1, true))
  end)

  it("wants an object", function()
    for _, text in ipairs { "[]", "null", "1", '"a"', "true" } do
      refuses(nil, text, { a = "string?" })
    end
  end)

  it("takes 3600.0 as a whole number", function()
    assert.equal(3600, check.fields(json.decode '{"a":3600.0}', { a = "integer" }).a)
  end)

  it("keeps false", function()
    assert.is_false(check.fields(json.decode '{"a":false}', { a = "boolean" }).a)
  end)

  it("reads whole numbers of a query within bounds", function()
    assert.equal(7, check.integer(nil, "n", 7, 1, 9))
    assert.equal(9, check.integer("9", "n", 7, 1, 9))
    for _, text in ipairs { "0", "10", "x", "1.5", "", "99999999999999999999" } do
      assert.has_error(function() check.integer(text, "n", 7, 1, 9) end)
    end
  end)
end)


describe("escaping", function()
  it("leaves no character that ends text or an attribute", function()
    assert.equal("&lt;a b=&quot;c&#39;&quot;&gt;&amp;amp;", escape [[<a b="c'">&amp;]])
  end)
end)
