local fakes = require "spec.support.fakes"

describe("a request", function()
  local request, world

  before_each(function()
    world = fakes.install()
    request = require "web.request"
  end)

  local function new(options)
    local x = fakes.exchange(options)
    return request.new(x, "GET", "/p"), x
  end

  local function refuses(status, code, fn)
    local ok, err = pcall(fn)
    assert.is_false(ok)
    assert.equal(status, err.status, tostring(err))
    assert.equal(code, err.code)
    return err
  end

  it("computes nothing before it is asked", function()
    local req = new()
    local count = 0
    for _ in pairs(req) do count = count + 1 end
    assert.equal(3, count)
  end)

  it("reads the body once, at the first use", function()
    local req, x = new { body = "abc" }
    assert.equal(0, x.reads)
    assert.equal("abc", req.body)
    assert.equal("abc", req.body)
    assert.equal(1, x.reads)
  end)

  it("passes the route's own limit for bodies", function()
    local req, x = new { body = "abc" }
    req.route = { body_limit = 10 }
    assert.equal("abc", req.body)
    assert.equal(10, x.limit)
  end)

  it("answers 413 for a body over the limit and 400 for a broken one", function()
    refuses(413, "too_large", function() return new({ body = { nil, "over 1 MiB", "too_large" } }).body end)
    refuses(400, "aborted", function() return new({ body = { nil, "gone", "aborted" } }).body end)
  end)

  it("decodes JSON", function()
    assert.equal(1, new({ body = '{"a":1}' }).json.a)
    refuses(413, "too_large", function() return new({ body = { nil, "over 1 MiB", "too_large" } }).json end)
  end)

  it("answers 415 for another content type, and 400 for JSON that is none", function()
    refuses(415, "wrong_type", function()
      return new({ body = "{}", headers = { ["Content-Type"] = "text/plain" } }).json
    end)
    refuses(400, "bad_json", function() return new({ body = '{"a":' }).json end)
    refuses(400, "empty_body", function() return new({ body = "" }).json end)
  end)

  it("keeps JSON null as the body apart from no body", function()
    assert.equal(world.json.null, new({ body = "null" }).json)
  end)

  it("parses the query: first value, all values, escapes", function()
    local req = new { query = "a=1&b=x+y%20z&a=2&c&=d&%zz=%4" }
    assert.equal("1", req.query.a)
    assert.same({ "1", "2" }, req.query_all.a)
    assert.equal("x y z", req.query.b)
    assert.equal("", req.query.c)
    assert.equal("%4", req.query["%zz"])
  end)

  it("takes at most 1,000 pairs of a query", function()
    local pairs_sent, count = {}, 0
    for i = 1, 2000 do pairs_sent[i] = "k" .. i .. "=1" end
    for _ in pairs(new({ query = table.concat(pairs_sent, "&") }).query) do count = count + 1 end
    assert.equal(1000, count)
  end)

  it("parses cookies", function()
    local req = new { headers = { Cookie = 'a=1; b="two"; a=3; c=' } }
    assert.same({ a = "1", b = "two", c = "" }, req.cookies)
    assert.same({ a = "b=c", d = "e f", g = '"', h = "" }, new { headers = {
      Cookie = ' a=b=c ;  d = x; d=e f ;;=y; z; g="; h=""; ' } }.cookies)
  end)

  it("decodes escapes in any case, and leaves what is none", function()
    local query = new { query = "a=%4a%4A%c3%A4%C3%a4%%4%zz%00+" }.query
    assert.equal("JJää%%4%zz\0 ", query.a)
  end)

  it("parses forms", function()
    local req = new { body = "a=1&b=%C3%A4", headers = {
      ["Content-Type"] = "application/x-www-form-urlencoded" } }
    assert.same({ a = "1", b = "ä" }, req.form)
    refuses(415, "wrong_type", function() return new({ body = "a=1" }).form end)
  end)

  it("knows what a client asks for", function()
    local function asks(accept)
      return new({ headers = { Accept = accept } }):asks_for "text/event-stream"
    end
    assert.is_true(asks "text/event-stream")
    assert.is_true(asks "text/html, Text/Event-Stream;q=0.5")
    assert.is_false(asks "text/event-stream;q=0")
    assert.is_false(asks "*/*")
    assert.is_false(asks "text/*")
    assert.is_false(asks(nil))
  end)

  it("has no other fields", function()
    assert.is_nil(new().nothing)
  end)
end)
