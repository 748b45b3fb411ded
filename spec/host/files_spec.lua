-- Files of an application through real HTTP.
local http = require "spec.support.http"
local server = require "spec.support.server"


describe("public files", function()
  local app, text

  setup(function()
    text = {}
    for i = 1, 100000 do text[i] = ("%07d\n"):format(i) end
    text = table.concat(text)
    app = server.start { workers = 1, files = {
      ["public/a.txt"] = "0123456789",
      ["public/sub/b.css"] = "b{}",
      ["public/big.bin"] = text,
      ["public/empty.txt"] = "",
      ["public/.secret"] = "secret",
      ["secret.txt"] = "secret",
    } }
    assert(os.execute(("ln -s a.txt %s/public/inside.txt"):format(app.folder)))
    assert(os.execute(("ln -s /etc/passwd %s/public/outside.txt"):format(app.folder)))
  end)
  teardown(function() app:stop() end)

  it("are served with their type, their length and a tag", function()
    local res = app:get "/public/a.txt"
    assert.equal(200, res.status)
    assert.equal("0123456789", res.body)
    assert.equal("10", res.headers["content-length"])
    assert.equal("text/plain; charset=utf-8", res.headers["content-type"])
    assert.equal("nosniff", res.headers["x-content-type-options"])
    assert.truthy(res.headers["last-modified"]:find "GMT$")
    assert.equal("text/css; charset=utf-8", app:get("/public/sub/b.css").headers["content-type"])
  end)

  it("are served whole when they are large or empty", function()
    assert.is_true(app:get("/public/big.bin").body == text)
    local res = app:get "/public/empty.txt"
    assert.equal(200, res.status)
    assert.equal("", res.body)
  end)

  it("answer HEAD without the body", function()
    local c = http.connect(app)
    local res = http.ask(c, "HEAD", "/public/big.bin")
    assert.equal(200, res.status)
    assert.equal(tostring(#text), res.headers["content-length"])
    assert.equal("0123456789", http.ask(c, "GET", "/public/a.txt").body)
    c:close()
  end)

  it("are 304 for who has them", function()
    local res = app:get "/public/a.txt"
    for name, value in pairs { ["If-None-Match"] = res.headers.etag,
      ["If-Modified-Since"] = res.headers["last-modified"] } do
      local again = app:get("/public/a.txt", { headers = { [name] = value } })
      assert.equal(304, again.status)
      assert.equal("", again.body)
    end
  end)

  it("give one range, and 416 for one that they do not have", function()
    local function range(value, path)
      local res = app:get(path or "/public/a.txt", { headers = { Range = value } })
      return res.status, res.body, res.headers["content-range"]
    end
    assert.same({ 206, "234", "bytes 2-4/10" }, { range "bytes=2-4" })
    assert.same({ 206, "789", "bytes 7-9/10" }, { range "bytes=-3" })
    assert.same({ 206, "0000002", "bytes 8-14/800000" }, { range("bytes=8-14", "/public/big.bin") })
    local status, _, of = range "bytes=10-"
    assert.equal(416, status)
    assert.equal("bytes */10", of)
    assert.equal(200, (range "bytes=0-1,4-5"))
  end)

  it("never lie outside of the folder, and never begin with a dot", function()
    for _, path in ipairs { "/public/../secret.txt", "/public/%2e%2e/secret.txt", "/public/..%2fsecret.txt",
      "/public/.secret", "/public/outside.txt", "/public/sub/../../secret.txt", "/public//etc/passwd",
      "/public/", "/public/sub", "/public/nothing", "/public/a.txt%00", "/public/%5c..%5csecret.txt" } do
      local res = app:get(path)
      assert.is_true(res.status >= 400 and res.status < 500, path .. " " .. res.status)
      assert.is_nil(res.body:find("secret\n", 1, true))
      assert.is_nil(res.body:find("root:", 1, true))
    end
  end)

  it("may be links that stay inside", function()
    assert.equal("0123456789", app:get("/public/inside.txt").body)
  end)
end)
