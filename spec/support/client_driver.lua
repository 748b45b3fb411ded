-- clients/c by its driver (spec/support/client_driver.c): one process, one client.
--   local app = driver.server()
--   local ann = driver.start(driver.url(app.address), { name = "ann" })
--   ann:say("subscribe", "news")     ann:hears "message"  -> { "message", "news", "-", "{...}" }
local json = require "host.json"
local process = require "spec.support.process"
local server = require "spec.support.server"
local wait = require "spec.support.wait"

local driver = {}
local Driver = {}
Driver.__index = Driver


--- A program of the build that is tested.
---@param name string
---@return string
function driver.program(name)
  return (server.BINARY:gsub("[^/]+$", name))
end


--- A server for clients; the topics kept* keep their newest three messages.
---@param set table<string, any>|nil settings
---@return table
function driver.server(set)
  local all = { ["password.ln"] = 10 }
  for name, value in pairs(set or {}) do all[name] = value end
  local config = "return { topics = { ['kept*'] = { history = { messages = 3 } } } }"
  return server.start { files = { ["config.lua"] = config }, set = all }
end


--- Where clients connect to, at a server or at a way to it.
---@param address { port: integer }
---@return string
function driver.url(address)
  return ("ws://127.0.0.1:%d/ws"):format(address.port)
end


--- Starts a client, which does nothing yet.
---@param url string http:// or ws://
---@param options table<string, any>|nil of client_driver
function driver.start(url, options)
  local self = setmetatable({ read = 0 }, Driver)
  local fifo = server.folder() .. "/commands"
  process.run("mkfifo", { fifo })
  local words = { "-c", 'exec "$0" "$@" < ' .. fifo, driver.program "client_driver", url }
  for name, value in pairs(options or {}) do words[#words + 1] = name .. "=" .. tostring(value) end
  self.process = process.spawn("/bin/sh", words)
  self.commands = assert(io.open(fifo, "w"))
  self.commands:setvbuf "line"
  return self
end


--- One command; `false` stands for a part that is absent.
function Driver:say(...)
  local parts = { ... }
  for i, part in ipairs(parts) do parts[i] = part == false and "-" or tostring(part) end
  self.commands:write(table.concat(parts, "\t"), "\n")
end


local function parts_of(line)
  local parts = {}
  for part in (line .. "\t"):gmatch "([^\t]*)\t" do parts[#parts + 1] = part end
  return parts
end


local function next_of(self, what)
  local out, from = self.process.out, self.read + 1
  local ends = out:find("\n", from, true)
  while ends do
    local parts = parts_of(out:sub(from, ends - 1))
    if parts[1] == what then
      self.read = ends
      return parts
    end
    from = ends + 1
    ends = out:find("\n", from, true)
  end
end


--- The next line of that kind; those of other kinds before it are passed over.
---@param what string
---@return string[]
function Driver:hears(what)
  return wait.till(function() return next_of(self, what) end,
    ("the client to tell %q; it has told:\n%s%s"):format(what, self.process.out, self.process.err))
end


--- The payload of the next message.
function Driver:payload()
  return json.decode(self:hears "message"[4]).payload
end


--- Waits for a state; the ones before it are passed over.
function Driver:becomes(state)
  repeat until self:hears "state"[2] == state
end


--- Connects and waits until it is open.
function Driver:opens()
  self:say "connect"
  self:becomes "open"
end


--- Ends it; nothing may be left alive.
function Driver:quit()
  self:say "quit"
  local code = self.process:wait()
  self.commands:close()
  assert(code == 0, self.process.err)
end

return driver
