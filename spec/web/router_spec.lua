local fakes = require "spec.support.fakes"
fakes.install()
local router = require "web.router"

local function handler() end


local function itself(endpoint)
  return endpoint
end


local function with(...)
  local r = router.new()
  for i, path in ipairs { ... } do r:add({ path = path, GET = handler }, "file" .. i) end
  r:finish(itself)
  return r
end


local function found(r, path, method)
  local endpoint, params, tail = r:find(method or "GET", path)
  return endpoint and endpoint.pattern, params, tail
end


describe("the router", function()
  it("finds a static path in its table", function()
    local r = with("/", "/a", "/a/b")
    assert.equal("/a/b", r.static["GET /a/b"].pattern)
    assert.equal("/", r.static["GET /"].pattern)
    assert.is_nil(r.static["GET /a/"])
  end)

  it("takes what was added away again, also from that table", function()
    local r = router.new()
    r:add({ path = "/a", GET = handler }, "one")
    local undo = r:add({ path = "/a", PUT = handler }, "two")
    local undo_other = r:add({ path = "/b", GET = handler }, "three")
    r:finish(itself)
    undo()
    undo_other()
    undo()
    assert.is_nil(r.static["PUT /a"])
    assert.equal("/a", r.static["HEAD /a"].pattern)
    assert.is_nil(r.static["GET /b"])
    assert.is_nil((found(r, "/b")))
  end)

  it("answers HEAD with GET where there is no HEAD", function()
    local r = with("/a", "/b/{x}")
    assert.equal(r.static["GET /a"], r.static["HEAD /a"])
    assert.equal("/b/{x}", (found(r, "/b/1", "HEAD")))
  end)

  it("gives each parameter its segment", function()
    local pattern, params = found(with "/u/{user_id}/s/{id}", "/u/ann/s/x.y~z")
    assert.equal("/u/{user_id}/s/{id}", pattern)
    assert.same({ user_id = "ann", id = "x.y~z" }, params)
  end)

  it("does not match an empty segment with a parameter", function()
    assert.is_nil(found(with "/u/{id}", "/u/"))
  end)

  it("takes a trailing slash as another path", function()
    assert.is_nil(found(with "/a", "/a/"))
  end)

  it("lets a tail stand for the rest, also an empty one", function()
    local r = with "/files/**"
    assert.equal("a/b.png", (select(3, found(r, "/files/a/b.png"))))
    assert.equal("", (select(3, found(r, "/files/"))))
    assert.is_nil(found(r, "/files"))
  end)

  it("keeps parameters before a tail", function()
    local _, params, tail = found(with "/p/{name}/**", "/p/x/1/2")
    assert.same({ name = "x" }, params)
    assert.equal("1/2", tail)
  end)

  it("prefers a literal to a parameter and a parameter to a tail", function()
    local r = with("/a/**", "/a/{x}", "/a/b", "/a/{x}/c")
    assert.equal("/a/b", (found(r, "/a/b")))
    assert.equal("/a/{x}", (found(r, "/a/z")))
    assert.equal("/a/{x}/c", (found(r, "/a/b/c")))
    assert.equal("/a/**", (found(r, "/a/b/d")))
  end)

  it("does not depend on the order of the files", function()
    local paths = { "/a/**", "/a/{x}", "/a/b", "/{y}/b" }
    local forth, back = with(table.unpack(paths)), router.new()
    for i = #paths, 1, -1 do back:add({ path = paths[i], GET = handler }, "f") end
    for _, path in ipairs { "/a/b", "/a/c", "/b/b", "/a/b/c", "/c/c" } do
      assert.equal((found(forth, path)), (found(back, path)))
    end
  end)

  it("goes on to a less exact path when the exact one lacks the method", function()
    local r = router.new()
    r:add({ path = "/a/b", GET = handler }, "one")
    r:add({ path = "/a/{x}", POST = handler }, "two")
    assert.equal("/a/{x}", (found(r, "/a/b", "POST")))
  end)

  it("names all allowed methods when none fits", function()
    local r = router.new()
    r:add({ path = "/a/b", GET = handler }, "one")
    r:add({ path = "/a/{x}", POST = handler, DELETE = handler }, "two")
    local endpoint, allow = r:find("PUT", "/a/b")
    assert.is_nil(endpoint)
    assert.equal("DELETE, GET, HEAD, OPTIONS, POST", allow)
    assert.equal("DELETE, OPTIONS, POST", r:allow "/a/c")
    assert.is_nil(r:allow "/nowhere")
  end)

  it("allows other parameter names for other methods", function()
    local r = router.new()
    r:add({ path = "/a/{x}", GET = handler }, "one")
    r:add({ path = "/a/{y}", PUT = handler }, "two")
    local _, params = r:find("PUT", "/a/1")
    assert.same({ y = "1" }, params)
  end)

  it("searches a long path without trouble", function()
    local r = with("/{a}/{b}/{c}", "/x/{b}/y", "/**")
    assert.equal("/**", (found(r, ("/x"):rep(4000))))
  end)

  local function refuses(text, ...)
    local routes = { ... }
    local ok, message = pcall(function()
      local r = router.new()
      for i, route in ipairs(routes) do r:add(route, "file" .. i) end
    end)
    assert.is_false(ok)
    assert.truthy(tostring(message):find(text, 1, true), message)
  end

  it("reports two routes for the same requests, naming both files", function()
    refuses("file2: GET /a/{y} answers the same requests as /a/{x} in file1",
      { path = "/a/{x}", GET = handler }, { path = "/a/{y}", GET = handler })
    refuses("file2: GET /a answers the same requests as /a in file1",
      { path = "/a", GET = handler }, { path = "/a", GET = handler })
  end)

  it("refuses paths it could not serve", function()
    refuses('begins with "/"', { path = "a", GET = handler })
    refuses('begins with "/"', { GET = handler })
    refuses("** is possible at the end only", { path = "/**/a", GET = handler })
    refuses("names the parameter {x} twice", { path = "/{x}/{x}", GET = handler })
    refuses('the segment "{x}.svg"', { path = "/{x}.svg", GET = handler })
    refuses('the segment "{1}"', { path = "/{1}", GET = handler })
  end)

  it("refuses routes without a method, with an unknown one, or with something else", function()
    refuses("answers no method", { path = "/a" })
    refuses("FETCH has no meaning", { path = "/a", FETCH = handler })
    refuses("Get has no meaning", { path = "/a", Get = handler })
    refuses("GET of /a is a string", { path = "/a", GET = "x" })
    refuses("a route is a table", 7)
  end)
end)
