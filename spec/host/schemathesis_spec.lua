-- What /openapi.json says is what the server does: schemathesis makes requests from the document,
-- right ones and wrong ones, and compares every answer with it. It comes from PyPI, into a folder
-- of the build; without a way there the spec is pending.
local process = require "spec.support.process"
local server = require "spec.support.server"

local FOLDER <const> = "build-asan/schemathesis-4.32.5"
local PINNED <const> = { "schemathesis==4.32.5", "hypothesis==6.170.15" }
-- A method that HTTP's parser does not know is 400 here, not 405.
local LEFT_OUT <const> = "unsupported_method"


local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end


local function run(program, args, seconds)
  return process.run("/usr/bin/env", { program, table.unpack(args) }, { seconds = seconds,
    env = { PIP_DISABLE_PIP_VERSION_CHECK = "1", PIP_RETRIES = "1", PYTHONDONTWRITEBYTECODE = "1" } })
end


-- True, or false and what pip says when PyPI can't be reached.
local function install()
  if exists(FOLDER .. "/ready") then return true end
  local made = run("python3", { "-m", "venv", FOLDER }, 60)
  assert(made.code == 0, made.err .. made.out)
  local done = run(FOLDER .. "/bin/pip", { "install", "--quiet", table.unpack(PINNED) }, 120)
  if done.code ~= 0 then
    assert(done.err:find "[Cc]onnection" or done.err:find "Could not find a version"
      or done.err:find "resolve" or done.err:find "timed out", done.err)
    return false, done.err
  end
  assert(io.open(FOLDER .. "/ready", "w")):close()
  return true
end


describe("the OpenAPI document", function()
  it("is what the server does, as schemathesis finds", function()
    local installed, why = install()
    if not installed then
      pending("PyPI can't be reached, so schemathesis is not here: " .. why:sub(1, 200))
      return
    end
    local app = server.start { workers = 1, set = { ["password.ln"] = 10,
      ["server.key"] = ("k"):rep(32) } }
    local account = { username = "ada", password = "a good password" }
    assert.equal(201, app:post("/auth/register", { json = account }).status)
    local token = app:post("/auth/login", { json = account }):json().access_token
    local found = run(FOLDER .. "/bin/schemathesis", {
      "run", app.url .. "/openapi.json", "--header", "Authorization: Bearer " .. token,
      "--max-examples", "5", "--generation-deterministic", "--generation-allow-x00", "false",
      "--phases", "examples,coverage,fuzzing",
      "--exclude-path", "/auth/logout", "--exclude-checks", LEFT_OUT, "--no-color",
    }, 120)
    assert(found.code == 0, found.out:sub(-12000) .. found.err)
    assert.matches("Operations:", found.out)
    app:stop()
  end)
end)
