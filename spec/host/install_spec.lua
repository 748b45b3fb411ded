-- What `cmake --install` puts in place.
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"


describe("cmake --install", function()
  it("puts the binary, the framework and the unit in place, and the binary needs nothing else", function()
    local folder, build = server.folder(), server.BINARY:match "^(.*)/lunacast$"
    local p = process.run("/usr/bin/cmake", { "--install", build, "--prefix", folder })
    assert.equal(0, p.code, p.out .. p.err)
    for _, name in ipairs { "bin/lunacast", "share/lunacast/lua/boot.lua", "share/lunacast/templates/demo.svg",
      "lib/systemd/system/lunacast.service" } do
      assert.is_truthy(uv.fs_stat(folder .. "/" .. name), name)
    end
    local app = server.start { binary = folder .. "/bin/lunacast" }
    assert.equal(200, app:get("/health").status)
    app:stop()
  end)

  it("ships a unit that systemd understands", function()
    local check = uv.fs_stat "/usr/bin/systemd-analyze"
    if not check then return pending "systemd-analyze is not installed" end
    local p = process.run("/usr/bin/systemd-analyze", { "verify", "--man=no", "packaging/lunacast.service" })
    local text = (p.out .. p.err):gsub("[^\n]*/usr/bin/lunacast[^\n]*\n", "")
    assert.is_nil(text:find("lunacast.service:", 1, true), text)
  end)
end)
