-- Plays the clients of a transcript (spec/protocol/README.md) against a real server.
local json = require "host.json"
local server = require "spec.support.server"
local time = require "host.time"
local ws = require "spec.support.ws"

local transcript = {}

local SYNC = "sync:" -- a text whose answer shows that all before it was handled

local Play = {}
Play.__index = Play


-- JSON as it is written in the transcript, with variables in their places.
local function fill(self, pattern)
  if pattern == "$now" then return time.iso8601() end
  if type(pattern) == "string" and pattern:find "^%$" then
    self.bound[pattern] = self.bound[pattern] or self.values[pattern] or pattern
    return self.bound[pattern]
  end
  if type(pattern) ~= "table" or pattern == json.null then return pattern end
  local out = setmetatable({}, getmetatable(pattern))
  for name, value in pairs(pattern) do out[name] = fill(self, value) end
  return out
end


local function matches_text(self, pattern, value)
  if pattern == "$any" then return value ~= nil end
  if type(value) ~= "string" then return false end
  if pattern == "$now" then return value:find "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d" ~= nil end
  self.bound[pattern] = self.bound[pattern] or value
  return self.bound[pattern] == value
end


local function matches(self, pattern, value)
  if type(pattern) == "string" and pattern:find "^%$" then
    return matches_text(self, pattern, value)
  end
  if type(pattern) ~= "table" or pattern == json.null then return pattern == value end
  if type(value) ~= "table" or value == json.null then return false end
  for name, part in pairs(pattern) do
    if name ~= "..." and not matches(self, part, value[name]) then return false end
  end
  for name in pairs(value) do
    if pattern[name] == nil and not pattern["..."] then return false end
  end
  return true
end


local function text_of(self, said)
  if type(said) == "string" then return (said:gsub("%$%w+", self.bound)) end
  return (said.command and said.command .. ":" or "") .. json.encode(fill(self, said.json))
end


local function fits(self, pattern, text)
  if type(pattern) == "string" then return pattern == text end
  return matches(self, pattern.json, json.decode(text))
end


local function connect(self, name)
  local token = (self.clients[name] or {}).token
  local headers = token and { ["Sec-WebSocket-Protocol"] = "bearer, " .. self.bound[token] }
  self.open[name] = { c = ws.connect(self.app, "/ws", headers), inbox = {} }
end


-- Reads everything that has come until the server has handled what was said.
local function sync(client)
  client.c:text(SYNC)
  while true do
    local text = client.c:read_text()
    local body = json.decode(text)
    if body.code == "unknown_command" then return end
    table.insert(client.inbox, text)
  end
end


local function next_text(client)
  return table.remove(client.inbox, 1) or client.c:read_text()
end


local function post(self, step)
  local res = self.app:post(step.posts.path, { json = fill(self, step.posts.json) })
  assert(res.status == step.answer.status, res.body)
  assert(matches(self, step.answer.json, res:json()), res.body)
end


local function say(self, step, client)
  for _, said in ipairs(step.says or {}) do client.c:text(text_of(self, said)) end
  if step.raw then client.c:text(text_of(self, step.raw)) end
  -- An answer to be heard is what shows that the command was handled.
  if not step.hears then sync(client) end
end


function Play:step(step)
  if step.posts then return post(self, step) end
  if step.does and step.does[1] == "connect" then connect(self, step.on) end
  local client = self.open[step.on]
  if step.says or step.raw then say(self, step, client) end
  for _, heard in ipairs(step.hears or {}) do
    local text = next_text(client)
    if not fits(self, heard, text) then
      error(("%s heard %s, not %s"):format(step.on, text, json.encode(heard)), 0)
    end
  end
  if step.drops then
    client.c:close()
    self.open[step.on] = nil
  end
end


--- Plays a transcript; raises, naming the step, where the server says something else.
---@param play table
function transcript.run(play)
  local config = play.server or {}
  local self = setmetatable({ clients = play.clients, values = play.values or {}, bound = {},
    open = {} }, Play)
  self.app = server.start { workers = 2, set = config.set,
    files = config.config and { ["config.lua"] = config.config } or nil }
  for i, step in ipairs(play.steps) do
    local ok, message = pcall(self.step, self, step)
    if not ok then error(("step %d: %s"):format(i, tostring(message)), 2) end
  end
  for name, client in pairs(self.open) do
    sync(client)
    assert(#client.inbox == 0, name .. " heard more: " .. tostring(client.inbox[1]))
    client.c:close()
  end
  self.app:stop()
end


--- The transcripts of the tree, by name.
---@return table[] list of { name = , play = }
function transcript.all()
  local list = {}
  local names = assert(io.popen "ls spec/protocol/*.json")
  for path in names:lines() do
    local file = assert(io.open(path))
    local play = assert(json.decode(file:read "a"), path)
    file:close()
    if play.steps then list[#list + 1] = { name = path:match "([^/]+)%.json$", play = play } end
  end
  names:close()
  return list
end

return transcript
