-- docs/tutorial.md, followed from an empty folder: its files are written, its commands run in a
-- shell as they stand there, and print what it says. Only the port is another one.
local documents = require "spec.support.documents"
local http = require "spec.support.http"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"

local STEPS = documents.blocks(documents.read "docs/tutorial.md")

-- An empty folder, and a shell whose lunacast is the one that is tested.
local function reader()
  local home = server.folder()
  server.write(home, { ["bin/.keep"] = "", ["work/.keep"] = "" })
  assert(uv.fs_symlink(uv.fs_realpath(server.BINARY), home .. "/bin/lunacast"))
  local env = {
    PATH = home .. "/bin:" .. os.getenv "PATH", LUNACAST_LISTEN = "127.0.0.1:0",
    LUNACAST_WORKERS = "2", LUNACAST_LOG_FORMAT = "json",
  }
  return { work = home .. "/work", env = env, port = "3000" }
end


local function shell(self, command)
  command = command:gsub("127%.0%.0%.1:3000", "127.0.0.1:" .. self.port)
  return process.spawn("/bin/bash", { "-c", command }, { cwd = self.work, env = self.env })
end


local function said(self, run, step)
  local output = (run.out .. run.err):gsub("127%.0%.0%.1:" .. self.port, "127.0.0.1:3000")
  return documents.fits(output, step.output), output
end


-- `command &` goes on, and has said by now that it is ready, and where.
local function start(self, step)
  self.server = shell(self, "exec " .. step.command:gsub("%s*&$", ""))
  wait.till(function()
    self.port = self.server.out:match "ready on http://127%.0%.0%.1:(%d+)" or self.port
    return said(self, self.server, step) or not self.server:running()
  end, step.command, 60)
  assert.is_true(self.server:running(), self.server.out .. self.server.err)
  self.address = { host = "127.0.0.1", port = tonumber(self.port) }
end


local function run(self, step)
  if step.command:find "&$" then return start(self, step) end
  local done = shell(self, step.command)
  done:wait(120)
  local fits, output = said(self, done, step)
  assert.is_true(fits, ("$ %s\n%s\nthe tutorial says:\n%s"):format(step.command, output, step.output))
end


-- A saved file is live by itself; here we wait until it is.
local function save(self, block)
  server.write(self.work, { [block.path] = block.text })
  self.saved = true
end


local function settle(self)
  if not self.saved or not self.server then return end
  self.saved = false
  local done = shell(self, "lunacast reload desk")
  assert.equal(0, done:wait(60), done.err)
end


-- All blocks up to the one that holds a text; it itself is not followed.
local function follow(self, till)
  for i = self.next or 1, #STEPS do
    local block = STEPS[i]
    self.next = i
    if till and block.text:find(till, 1, true) then return end
    if block.path then
      save(self, block)
    elseif block.language == "console" then
      settle(self)
      for _, step in ipairs(documents.commands(block.text)) do run(self, step) end
    end
  end
end


describe("docs/tutorial.md", function()
  it("leads from an empty folder to a live dashboard", function()
    local self = reader()
    follow(self, '"value": 35')
    settle(self)
    local view = http.pictures(self, "/dashboard")
    assert.matches("0 readings, calm", view:next())
    follow(self, '"on fire"')
    assert.matches("2 readings, too much", (view:till "2 readings"))
    follow(self)
    assert.matches("2 readings, on fire", (view:till "on fire"))
    view:close()
    self.server:kill "sigterm"
    local code = self.server:wait(30)
    assert.equal(0, code, self.server.err)
  end)

  it("names the file of every block but of commands", function()
    for _, block in ipairs(STEPS) do
      assert.is_truthy(block.path or block.language == "console" or block.language == "sh",
        "line " .. block.line)
    end
  end)
end)
