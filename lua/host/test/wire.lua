-- A socket for specs: every wait has a limit, every byte is under the spec's control.
--   local c = wire.connect { port = 3000 }
--   c:send "GET / HTTP/1.1\r\n"
--   assert.matches("400", c:read_line())
local crypto = require "host.crypto"
local peer = require "host.peer"
local wait = require "host.test.wait"

local wire = {}
local Wire = {}


local TRANSCRIPT_MAX = 10000 -- pieces


local function note(self, direction, data)
  local lines = self.transcript
  if lines and #lines < TRANSCRIPT_MAX then lines[#lines + 1] = { direction, data } end
end


-- What has come, and whether the other side has ended.
local function look(self)
  if not self.socket then return end
  local data = self.socket:take()
  if data ~= "" then
    note(self, "<", data)
    self.total = self.total + #data
    self.pieces[#self.pieces + 1] = data
  end
  local _, ended = self.socket:status()
  self.over = ended or self.over
end


function Wire.__index(self, key)
  if key == "ended" then
    look(self)
    return self.over
  elseif key == "received" then
    look(self)
    return self.total
  end
  return Wire[key]
end


local function new(socket)
  return setmetatable({ socket = socket, pieces = {}, text = "", total = 0 }, Wire)
end


--- Connects by TCP ({ host =, port = }) or to a unix socket ({ path = }).
---@param address { host?: string, port?: integer, path?: string }
function wire.connect(address)
  local socket
  if address.path then
    socket = peer.connect(address.path)
  else
    socket = peer.connect(address.host or "127.0.0.1", address.port)
  end
  local connected, failure
  wait.till(function()
    connected, failure = socket:status()
    return connected or failure
  end, "a connection")
  if not connected then
    socket:close()
    return nil, failure
  end
  return new(socket)
end


--- Waits for connections; `accept` gives them. Without an address: a free port of 127.0.0.1.
---@param address? { host?: string, port?: integer, path?: string }
---@return table listener with `port`
function wire.listen(address)
  address = address or {}
  local socket
  if address.path then
    socket = assert(peer.listen(address.path))
  else
    socket = assert(peer.listen(address.host or "127.0.0.1", address.port or 0))
  end
  return {
    port = socket:port(),
    --- The next one who connects; nil when nobody has within `seconds` (0: now).
    accept = function(_, seconds)
      local accepted = wait.turn(function() return socket:accept() end, seconds or wait.LIMIT)
      return accepted and new(accepted)
    end,
    close = function() socket:close() end,
  }
end


--- A port that is free now, below those that the kernel gives away: so it stays free for who comes
--- back.
---@return integer
function wire.free_port()
  local port, listener
  repeat
    port = 15000 + string.unpack("I2", crypto.random(2)) % 15000
    listener = peer.listen("127.0.0.1", port)
  until listener
  listener:close()
  wait.settle()
  return port
end


--- Sends bytes; returns when the kernel has taken them, or false when the peer is gone.
---@param data string
---@return boolean
function Wire:send(data)
  note(self, ">", data)
  if not self.socket or not self.socket:write(data) then return false end
  local _, ended, writing
  wait.till(function()
    _, ended, writing = self.socket:status()
    return writing == 0 or ended
  end, "room to send")
  return ended == nil or writing == 0 and ended == "end"
end


--- Sends without waiting; the bytes leave while the spec waits for something else.
function Wire:post(data)
  note(self, ">", data)
  if self.socket then self.socket:write(data) end
end


--- From now on every byte is kept: `c.transcript` is a list of { ">" or "<", bytes }, in the order
--- in which they left and came.
function Wire:record()
  self.transcript = {}
  return self
end


--- Writes that the kernel has not taken yet.
---@return integer
function Wire:unsent()
  return select(3, self.socket:status())
end


-- What has come and was not consumed.
function Wire:peek()
  look(self)
  if #self.pieces > 0 then
    self.text = self.text .. table.concat(self.pieces)
    self.pieces = {}
  end
  return self.text
end


function Wire:consume(n)
  local text = self:peek()
  self.text = text:sub(n + 1)
  return text:sub(1, n)
end


--- Reads up to and including `stop` (plain text); nil when the peer ends before.
---@param stop string
---@param seconds number|nil
---@return string|nil
function Wire:read_until(stop, seconds)
  local from, at = 1, nil
  wait.till(function()
    local text = self:peek()
    local _, last = text:find(stop, from, true)
    from = math.max(1, #text - #stop + 2)
    at = last
    return last or self.ended
  end, ("%q from the server; so far: %q"):format(stop, self:peek():sub(1, 200)), seconds)
  return at and self:consume(at) or nil
end


--- Reads n bytes; fewer when the peer ends before.
---@param n integer
---@param seconds number|nil
---@return string
function Wire:read(n, seconds)
  wait.till(function() return #self:peek() >= n or self.ended end, n .. " bytes", seconds)
  return self:consume(math.min(n, #self:peek()))
end


--- A line without its end.
function Wire:read_line(seconds)
  local line = self:read_until("\r\n", seconds)
  return line and line:sub(1, -3)
end


--- Everything until the peer ends its side.
function Wire:read_all(seconds)
  wait.till(function() return self.ended end, "the server to close", seconds)
  return self:consume(#self:peek())
end


--- Has the peer ended or reset, within `seconds` (as long as specs wait, when absent)?
---@param seconds number|nil
---@return boolean
function Wire:ends_within(seconds)
  wait.turn(function() return self.ended end, seconds or wait.LIMIT)
  return self.ended ~= nil
end


--- Stops reading: the peer's bytes pile up in the kernel, then at the peer.
function Wire:pause()
  self.socket:pause()
end


function Wire:resume()
  self.socket:resume()
end


--- Ends our side; the peer may go on sending.
function Wire:shutdown()
  self.socket:shutdown()
end


local function release(self, how)
  if not self.socket then return end
  look(self)
  self.socket[how](self.socket)
  self.socket = nil
  self.over = self.over or "closed"
  wait.settle()
end


--- Closes with RST, as a peer does that vanishes.
function Wire:reset()
  release(self, "reset")
end


function Wire:close()
  release(self, "close")
end

return wire
