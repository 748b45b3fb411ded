-- web.schema: what a client may send.
local json = require "host.json"
local schema = require "web.schema"

local POST = { fields = {
  title = { type = "string", min = 1, max = 5 },
  count = { type = "integer", min = 0, max = 9, default = 3 },
  ratio = { type = "number", max = 1, optional = true },
  live = { type = "boolean", optional = true },
  kind = { type = "string", enum = { "a", "b" }, optional = true },
  note = { type = "string", nullable = true, optional = true },
  tags = { items = { type = "string", max = 3 }, max = 2, optional = true },
  place = { fields = { x = { type = "number" } }, optional = true },
} }


local function errors_of(s, text)
  local value, found = schema.check(s, json.decode(text))
  assert.is_nil(value)
  local lines = {}
  for _, e in ipairs(found) do lines[#lines + 1] = e.field .. " " .. e.error end
  return lines
end


local function form(name, text)
  return schema.check({ type = "string", format = name }, text) ~= nil
end


describe("web.schema", function()
  it("gives what was sent, with defaults and without absent fields", function()
    local value = schema.check(POST, json.decode '{"title":"hi","tags":["a"],"ratio":null,"live":false}')
    assert.same({ title = "hi", count = 3, tags = { "a" }, live = false }, value)
  end)

  it("lists every wrong field with what it must be", function()
    assert.same({
      "count must be 0 to 9, got 10",
      'kind must be one of "a", "b"',
      "live must be true or false, got string",
      "place.x is missing; it must be a number",
      "ratio must be at most 1, got 1.5",
      "tags must have at most 2 items, has 3",
      "title must have 1 to 5 characters, has 0",
      "colour is unknown here; known: count, kind, live, note, place, ratio, tags, title",
    }, errors_of(POST, [[{"title":"","count":10,"ratio":1.5,"live":"yes","kind":"c","tags":["a","b","c"],
      "place":{},"colour":1}]]))
  end)

  it("names the place in an array and in an object", function()
    assert.same({ "tags[1] must have at most 3 characters, has 4", "title is missing; it must be a string" },
      errors_of(POST, '{"tags":["a","long"]}'))
    assert.same({ " must be an object, got array" }, errors_of(POST, "[]"))
    assert.same({ " is missing; it must be an object" }, errors_of(POST, "null"))
  end)

  it("takes a number without a fraction for a whole one, and no other", function()
    local whole = { type = "integer" }
    assert.equal(2, schema.check(whole, 2.0))
    assert.equal("integer", math.type(schema.check(whole, 2.0)))
    assert.is_nil(schema.check(whole, 2.5))
    assert.is_nil(schema.check(whole, "2"))
  end)

  it("keeps null where it is a value", function()
    local value = schema.check(POST, json.decode '{"title":"a","note":null}')
    assert.equal(json.null, value.note)
  end)

  it("counts characters, not bytes, and bytes where it is told to", function()
    assert.equal("äöüßé", schema.check({ type = "string", max = 5 }, "äöüßé"))
    assert.is_nil(schema.check({ type = "string", bytes = 9 }, "äöüßé"))
    assert.is_nil(schema.check({ type = "string" }, "\xff"))
    assert.is_nil(schema.check({ type = "string" }, "a\0b"))
  end)

  it("knows forms of text", function()
    for _, good in ipairs { "a@b.example", "first.last+tag@mail.host.example" } do
      assert.is_true(form("email", good), good)
    end
    for _, bad in ipairs { "a@b", "@b.example", "a@", "a b@c.example", "a..b@c.example", "a@b..example",
      "a@b.example.", ("x"):rep(65) .. "@b.example" } do
      assert.is_false(form("email", bad), bad)
    end
    assert.is_true(form("uuid", "123e4567-e89b-12d3-a456-426614174000"))
    assert.is_false(form("uuid", "123e4567e89b12d3a456426614174000"))
    assert.is_true(form("date-time", "2026-03-01T12:00:00.5+02:00"))
    assert.is_false(form("date-time", "2026-13-01T12:00:00Z"))
    assert.is_false(form("date-time", "2026-03-01"))
    assert.is_true(form("uri", "https://a.example/x?y"))
    assert.is_false(form("uri", "a.example"))
  end)

  it("matches a pattern against the whole text", function()
    local word = { type = "string", pattern = "[a-z]+" }
    assert.equal("abc", schema.check(word, "abc"))
    assert.is_nil(schema.check(word, "abc1"))
    assert.is_nil(schema.check(word, "abc\n"))
  end)

  it("stops listing errors at fifty", function()
    local many = {}
    for i = 1, 1000 do many[i] = "x" end
    local _, found = schema.check({ items = { type = "integer" } }, setmetatable(many, json.array_mt))
    assert.equal(50, #found)
  end)

  it("refuses a schema that nobody could satisfy, by name, when it is made", function()
    for text, wrong in pairs {
      ['schema p: needs a type, got "text"'] = { type = "text" },
      ["schema p: is a table, got a string"] = "string",
      ['schema p: has no key "maximum"'] = { type = "integer", maximum = 1 },
      ['schema p: knows no format "mail"'] = { type = "string", format = "mail" },
      ['schema p.a: needs a type, got "nil"'] = { fields = { a = {} } },
    } do
      assert.has_error(function() schema.compile(wrong, "p") end, text)
    end
    assert.has_error(function() schema.compile({ type = "string", pattern = "(" }, "p") end)
  end)

  it("writes JSON Schema", function()
    assert.same({
      type = "object", additionalProperties = false, required = { "id" },
      properties = {
        id = { type = "integer", minimum = 1, maximum = math.maxinteger },
        note = { type = { "string", "null" }, maxLength = 9, description = "what for" },
        tags = { type = { "array", "null" }, maxItems = 2, items = { type = "string", enum = { "a" } } },
      },
    }, schema.json { fields = {
      id = { type = "integer", min = 1 },
      note = { type = "string", max = 9, nullable = true, optional = true, about = "what for" },
      tags = { items = { type = "string", enum = { "a" } }, max = 2, optional = true },
    } })
  end)

  it("writes that an optional field may be null in a body, and never in a query", function()
    local s = { fields = {
      mode = { type = "string", enum = { "a", "b" }, optional = true },
      text = { type = "string", bytes = 7, optional = true },
    } }
    assert.same({ mode = { type = { "string", "null" }, enum = { "a", "b", json.null } },
      text = { type = { "string", "null" }, maxLength = 7 } }, schema.json(s).properties)
    assert.same({ mode = { type = "string", enum = { "a", "b" } },
      text = { type = "string", maxLength = 7 } }, schema.json(s, true).properties)
  end)

  it("reads the texts of a query and a path as what they stand for", function()
    local req = { query = { limit = "20", live = "true", after = "x" }, params = { id = "7" } }
    local wanted = {
      query = schema.compile { fields = {
        limit = { type = "integer", max = 100 }, live = { type = "boolean" }, after = { type = "string" },
      } },
      params = schema.compile { fields = { id = { type = "integer" } } },
    }
    assert.same({ query = { limit = 20, live = true, after = "x" }, params = { id = 7 } },
      schema.request(req, wanted))
    req.query.limit, req.params.id = "2o", "-"
    local ok, err = pcall(schema.request, req, wanted)
    assert.is_false(ok)
    assert.equal(400, err.status)
    assert.same({
      { field = "id", error = "must be a whole number, got string", ["in"] = "path" },
      { field = "limit", error = "must be a whole number, got string", ["in"] = "query" },
    }, { err.fields.errors[1], err.fields.errors[2] })
  end)

  it("reads the numbers of a query as JSON writes them, and is soon done with what is none", function()
    local wanted = { query = schema.compile { fields = {
      x = { type = "number", optional = true }, n = { type = "integer", optional = true } } } }
    local function read(text, name)
      local ok, made = pcall(schema.request, { query = { [name or "x"] = text }, params = {} }, wanted)
      if not ok then assert.equal(400, made.status, tostring(made)) end
      return ok and made.query[name or "x"] or nil
    end
    for text, number in pairs { ["1"] = 1, ["-2.5"] = -2.5, ["1e3"] = 1000, ["1.5E-1"] = 0.15, ["0"] = 0 } do
      assert.equal(number, read(text))
    end
    for _, text in ipairs { "", "-", "1e", "e1", "0x10", "1e999999", "-1e999", "inf", "nan", "1 ", " 1", "1.2.3", "+1",
      ("1"):rep(8000) .. "x", ("1"):rep(8000), ("1."):rep(4000), "1e" .. ("9"):rep(8000), ("1"):rep(400) } do
      assert.is_nil(read(text), text:sub(1, 20))
      assert.is_nil(text:find "^%d+$" and read(text, "n"))
    end
  end)
end)
