-- A reader who follows a document in an empty folder: writes the files that it shows and runs its
-- commands in a shell, where they must print what it says. Only the port is another one.
local documents = require "spec.support.documents"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"

local Follow = {}
Follow.__index = Follow


-- `app`: the application's folder below the reader's.
local function follow(text, app)
  local home = server.folder()
  server.write(home, { ["bin/.keep"] = "", ["work/.keep"] = "" })
  assert(uv.fs_symlink(uv.fs_realpath(server.BINARY), home .. "/bin/lunacast"))
  local env = {
    PATH = home .. "/bin:" .. os.getenv "PATH", LUNACAST_LISTEN = "127.0.0.1:0",
    LUNACAST_WORKERS = "2", LUNACAST_LOG_FORMAT = "json",
  }
  return setmetatable({
    steps = documents.blocks(text), app = app, work = home .. "/work", env = env, port = "3000",
  }, Follow)
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
  assert(self.server:running(), self.server.out .. self.server.err)
  self.address = { host = "127.0.0.1", port = tonumber(self.port) }
end


local function run(self, step)
  if step.command:find "&$" then return start(self, step) end
  local done = shell(self, step.command)
  done:wait(120)
  local fits, output = said(self, done, step)
  assert(fits, ("$ %s\n%s\nthe document says:\n%s"):format(step.command, output, step.output))
end


--- Waits until what was saved is live; it becomes so by itself.
function Follow:settle()
  if not self.saved or not self.server then return end
  self.saved = false
  local done = shell(self, "lunacast reload " .. self.app)
  assert(done:wait(60) == 0, done.err)
end


--- Follows all blocks up to the one that holds a text, which is left for the next time.
---@param till? string
function Follow:on(till)
  for i = self.next or 1, #self.steps do
    local block = self.steps[i]
    self.next = i
    if till and block.text:find(till, 1, true) then return end
    if block.path then
      server.write(self.work, { [block.path] = block.text })
      self.saved = true
    elseif block.language == "console" then
      self:settle()
      for _, step in ipairs(documents.commands(block.text)) do run(self, step) end
    end
  end
end


--- Ends the server, which must end in order.
function Follow:stop()
  if not self.server then return end
  self.server:kill "sigterm"
  assert(self.server:wait(30) == 0, self.server.err)
end

return follow
