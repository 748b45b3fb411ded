local fakes = require "spec.support.fakes"


describe("web.file", function()
  local web, request, files

  before_each(function()
    files = { ["public/a.png"] = "0123456789", ["public/empty"] = "" }
    fakes.install { files = files }
    web, request = require "web", require "web.request"
  end)

  local function get(path, headers, method)
    local req = request.new(fakes.exchange { headers = headers }, method or "GET", "/x")
    local ok, res = pcall(web.file, req, path)
    return res, ok
  end

  it("describes the file and leaves the sending to C", function()
    local res = get "public/a.png"
    assert.equal(200, res.status)
    assert.equal("image/png", res.type)
    assert.same({ path = "public/a.png", offset = 0, length = 10 }, res.file)
    assert.equal("Tue, 14 Nov 2023 22:13:20 GMT", res.headers["Last-Modified"])
    assert.equal("bytes", res.headers["Accept-Ranges"])
    assert.equal("nosniff", res.headers["X-Content-Type-Options"])
  end)

  it("is 404 where there is no file", function()
    for _, path in ipairs { "public/b", "", "a\0b", ("x"):rep(2000) } do
      assert.equal(404, get(path).status)
    end
  end)

  it("is 304 for who has it", function()
    local tag = get("public/a.png").headers.ETag
    assert.equal(304, get("public/a.png", { ["If-None-Match"] = tag }).status)
    assert.equal(200, get("public/a.png", { ["If-None-Match"] = '"x"' }).status)
    local since = "Tue, 14 Nov 2023 22:13:20 GMT"
    assert.equal(304, get("public/a.png", { ["If-Modified-Since"] = since }).status)
    assert.equal(200, get("public/a.png", { ["If-Modified-Since"] = "Tue, 14 Nov 2023 22:13:19 GMT" }).status)
    assert.equal(200, get("public/a.png", { ["If-Modified-Since"] = "yesterday" }).status)
    assert.equal(200, get("public/a.png", { ["If-Modified-Since"] = since, ["If-None-Match"] = '"x"' }).status)
  end)

  it("is 412 for a version that is no more", function()
    assert.equal(412, get("public/a.png", { ["If-Match"] = '"x"' }).status)
  end)

  it("gives one range", function()
    local function range(text)
      local res = get("public/a.png", { Range = text })
      return res.status, res.file and res.file.offset, res.file and res.file.length,
        res.headers["Content-Range"]
    end
    assert.same({ 206, 2, 3, "bytes 2-4/10" }, { range "bytes=2-4" })
    assert.same({ 206, 7, 3, "bytes 7-9/10" }, { range "bytes=7-" })
    assert.same({ 206, 7, 3, "bytes 7-9/10" }, { range "bytes=-3" })
    assert.same({ 206, 0, 10, "bytes 0-9/10" }, { range "bytes=-99" })
    assert.same({ 206, 9, 1, "bytes 9-9/10" }, { range "bytes=9-99" })
    assert.same({ 416, nil, nil, "bytes */10" }, { range "bytes=10-" })
    assert.same({ 416, nil, nil, "bytes */10" }, { range "bytes=-0" })
  end)

  it("gives the whole file for ranges that make no sense, and for several", function()
    for _, text in ipairs { "bytes=4-2", "bytes=-", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "" } do
      assert.equal(200, get("public/a.png", { Range = text }).status, text)
    end
    assert.equal(200, get("public/a.png", { Range = "bytes=0-1" }, "HEAD").status)
  end)

  it("gives a range of the same file only", function()
    local tag = get("public/a.png").headers.ETag
    local function status(condition)
      return get("public/a.png", { Range = "bytes=0-1", ["If-Range"] = condition }).status
    end
    assert.equal(206, status(tag))
    assert.equal(206, status "Tue, 14 Nov 2023 22:13:20 GMT")
    assert.equal(200, status '"x"')
    assert.equal(200, status("W/" .. tag))
    assert.equal(200, status "Tue, 14 Nov 2023 22:13:19 GMT")
  end)

  it("serves an empty file", function()
    local res = get "public/empty"
    assert.equal(200, res.status)
    assert.equal("application/octet-stream", res.type)
    assert.equal(0, res.file.length)
    assert.equal(416, get("public/empty", { Range = "bytes=0-" }).status)
  end)
end)


describe("an HTTP date", function()
  it("is read as it is written", function()
    fakes.install()
    local httpdate = require "web.httpdate"
    for _, seconds in ipairs { 0, 784111777, 951782400, 1709164799, 1709164800, 4102444800 } do
      assert.equal(seconds, httpdate.parse(httpdate.format(seconds)))
    end
    assert.equal(784111777, httpdate.parse "Sun, 06 Nov 1994 08:49:37 GMT")
    for _, text in ipairs { "", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Foo 1994 08:49:37 GMT",
      "Sunday, 06-Nov-94 08:49:37 GMT" } do
      assert.is_nil(httpdate.parse(text))
    end
  end)
end)
