local file = require "host.file"

-- The specs run in the repository's root, which is an application's folder.
describe("host.file", function()
  local function has(list, name)
    for _, item in ipairs(list) do
      if item == name then return true end
    end
    return false
  end

  it("lists a folder, sorted, and nothing for one that is not there", function()
    local names = file.list "lua/web"
    assert.is_true(has(names, "router.lua"))
    for i = 2, #names do assert.is_true(names[i - 1] < names[i]) end
    assert.same({}, file.list "lua/nothing")
  end)

  it("gives the source of a file at once", function()
    assert.truthy(file.source("lua/boot.lua"):find("boot.dispatch", 1, true))
    assert.is_nil(file.source "lua/nothing.lua")
  end)

  it("reads and describes a file", function()
    assert.equal(file.source "lua/boot.lua", file.read "lua/boot.lua")
    local stat = file.stat "lua/boot.lua"
    assert.equal(#file.source "lua/boot.lua", stat.size)
    assert.equal("file", stat.type)
    assert.is_true(stat.mtime > 1700000000)
  end)

  it("says why a file can't be read", function()
    local data, message, code = file.read "nothing"
    assert.is_nil(data)
    assert.truthy(message:find("nothing", 1, true))
    assert.equal("absent", code)
    assert.equal("too_large", select(3, file.read("lua/boot.lua", { limit = 10 })))
  end)

  it("leaves the folder by no path", function()
    for _, path in ipairs { "../etc/passwd", "/etc/passwd", "lua/../../../etc/passwd", ".gitignore",
      "lua/.", "spec/../.luacheckrc", "lua" } do
      assert.is_nil(file.read(path), path)
      assert.is_nil(file.source(path), path)
      assert.is_nil(file.stat(path), path)
    end
    assert.same({}, file.list "..")
    assert.has_error(function() file.list "/etc" end, "/etc: outside of the application's folder")
    assert.same({}, file.list ".git")
  end)

  it("does not follow a link that leads out", function()
    local link = ("build-link-%d"):format(math.random(1, 1000000))
    assert(os.execute("ln -s /etc/passwd " .. link))
    local data = file.read(link)
    os.remove(link)
    assert.is_nil(data)
  end)

  it("raises for what is no path", function()
    assert.has_error(function() file.read "" end)
    assert.has_error(function() file.read "a\0b" end)
    assert.has_error(function() file.read(("x"):rep(2000)) end)
  end)
end)
