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

  it("puts the client library in place, which programs find by pkg-config", function()
    local folder, build = server.folder(), server.BINARY:match "^(.*)/lunacast$"
    assert.equal(0, process.run("/usr/bin/cmake", { "--install", build, "--prefix", folder }).code)
    local compile = [[cd "$0" && export PKG_CONFIG_PATH=$(dirname "$(find . -name lunacast.pc)") &&
      cc -Wall -Werror -fsanitize=address,undefined -o example "$1" $(pkg-config --cflags --libs lunacast)]]
    local example = uv.cwd() .. "/clients/c/example.c"
    local p = process.run("/bin/sh", { "-c", compile, folder, example })
    assert.equal(0, p.code, p.out .. p.err)
    local app = server.start()
    local done = process.run(folder .. "/example", { ("ws://127.0.0.1:%d/ws"):format(app.port) })
    assert.equal(0, done.code, done.out .. done.err)
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
