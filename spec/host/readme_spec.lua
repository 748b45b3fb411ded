-- README.md says what is so: its code blocks run as they stand there, and its table of settings is
-- the program's own.
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"
local ws = require "spec.support.ws"

local file = assert(io.open "README.md")
local README = file:read "a"
file:close()


local function blocks(language)
  local list = {}
  for text in README:gmatch("\n```" .. language .. "\n(.-)\n```") do list[#list + 1] = text end
  return list
end


local function block_with(language, text)
  for _, block in ipairs(blocks(language)) do
    if block:find(text, 1, true) then return block end
  end
  error(("README has no %s block with %q"):format(language, text))
end


describe("README.md", function()
  it("shows a walk-through whose commands work in their order", function()
    local app = server.start {}
    local script = { "set -eu -o pipefail" }
    for _, block in ipairs(blocks "sh") do
      if block:find("curl", 1, true) then
        script[#script + 1] = block:gsub("curl %-sS", "curl -sS --fail-with-body")
      end
    end
    assert.is_true(#script >= 4)
    local text = table.concat(script, "\n"):gsub("127%.0%.0%.1:3000", "127.0.0.1:" .. app.port)
    local p = process.run("/bin/bash", { "-c", text })
    assert.equal(0, p.code, p.out .. p.err)
    assert.matches("ONLY THE TEXT", p.out)
    assert.equal(200, app:get("/svg/ada/mine").status)
    app:stop()
  end)

  it("shows a route that works when it is saved", function()
    local route = block_with("lua", "-- lua/routes/lamp.lua")
    local app = server.start { files = { ["lua/routes/first.lua"] = "return {}" } }
    server.write(app.folder, { ["lua/routes/lamp.lua"] = route })
    wait.till(function() return app:get("/lamp/red").status == 200 end, "the saved route")
    assert.same({ color = "red" }, app:json "/lamp/red")
    assert.equal(204, app:post("/lamp/red").status)
    app:stop()
  end)

  it("shows a chat that talks", function()
    local route = block_with("lua", "-- lua/routes/chat.lua")
    local app = server.start { files = { ["lua/routes/chat.lua"] = route } }
    local ann, bob = ws.connect(app, "/chat/hall?name=ann"), ws.connect(app, "/chat/hall")
    local other = ws.connect(app, "/chat/attic")
    ann:text "hello"
    assert.equal("ann: hello", bob:read_text())
    assert.equal("ann: hello", ann:read_text())
    bob:text "hi"
    assert.equal("somebody: hi", ann:read_text())
    assert.is_true((other:is_quiet()))
    for _, c in ipairs { ann, bob, other } do c:close() end
    app:stop()
  end)

  it("shows a spec that passes", function()
    local folder = server.folder()
    server.write(folder, { ["lua/routes/none.lua"] = "return {}",
      ["spec/lamp_spec.lua"] = block_with("lua", 'describe("the lamp"') })
    local p = process.run(uv.fs_realpath(server.BINARY), { "test", folder, "--output=TAP" }, { seconds = 30 })
    assert.equal(0, p.code, p.out .. p.err)
    assert.matches("ok 1", p.out)
  end)

  it("lists the settings as the program knows them", function()
    local shown = README:match "<!%-%- settings: lunacast config %-%-markdown %-%->\n(.-)<!%-%- end of settings"
    assert.equal(process.run(uv.fs_realpath(server.BINARY), { "config", "--markdown" }).out, shown)
  end)

  it("names the calls that the server answers", function()
    local app = server.start {}
    for _, path in ipairs { "/health", "/ready", "/metrics", "/.well-known/jwks.json", "/" } do
      assert.equal(200, app:get(path).status, path)
    end
    app:stop()
  end)

  it("has no link to a file that is not there", function()
    for target in README:gmatch "%]%(([^)#]+)%)" do
      if not target:find "^%a+:" then assert.is_truthy(uv.fs_stat(target), target) end
    end
  end)
end)
