-- A socket for specs: every wait has a limit, every byte is under the spec's control.
--   local c = wire.connect { port = 3000 }
--   c:send "GET / HTTP/1.1\r\n"
--   assert.matches("400", c:read_line())
local uv = require "luv"
local wait = require "spec.support.wait"

local wire = {}
local Wire = {}
Wire.__index = Wire


local function on_data(self)
  return function(err, data)
    if data then
      self.received = self.received + #data
      self.pieces[#self.pieces + 1] = data
    else
      self.ended = err or "end"
    end
  end
end


--- Connects by TCP ({ host =, port = }) or to a unix socket ({ path = }).
---@param address { host?: string, port?: integer, path?: string }
function wire.connect(address)
  local self = setmetatable({ pieces = {}, text = "", received = 0 }, Wire)
  local done, failure
  local function connected(err) done, failure = true, err end
  if address.path then
    self.socket = uv.new_pipe(false)
    self.socket:connect(address.path, connected)
  else
    self.socket = uv.new_tcp()
    self.socket:connect(address.host or "127.0.0.1", address.port, connected)
  end
  wait.till(function() return done end, "a connection")
  if failure then
    self.socket:close()
    return nil, failure
  end
  if not address.path then self.socket:nodelay(true) end
  self:resume()
  return self
end


--- Sends bytes; returns when the kernel has taken them, or false when the peer is gone.
---@param data string
---@return boolean
function Wire:send(data)
  local done, failure
  if not self.socket:write(data, function(err) done, failure = true, err end) then return false end
  wait.till(function() return done or self.ended end, "room to send")
  return failure == nil and done == true
end


--- Sends without waiting; the bytes leave while the spec waits for something else.
function Wire:post(data)
  self.socket:write(data, function() end)
end


-- What has come and was not consumed.
function Wire:peek()
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


--- Has the peer ended or reset, within `seconds`?
---@return boolean
function Wire:ends_within(seconds)
  return wait.turn(function() return self.ended end, seconds) ~= nil and self.ended ~= nil
end


--- Stops reading: the peer's bytes pile up in the kernel, then at the peer.
function Wire:pause()
  self.socket:read_stop()
end


function Wire:resume()
  self.socket:read_start(on_data(self))
end


--- Ends our side; the peer may go on sending.
function Wire:shutdown()
  self.socket:shutdown()
end


--- Closes with RST, as a peer does that vanishes.
function Wire:reset()
  if not self.socket:is_closing() then
    if self.socket.close_reset then self.socket:close_reset() else self.socket:close() end
  end
  uv.run "nowait"
end


function Wire:close()
  if not self.socket:is_closing() then self.socket:close() end
  uv.run "nowait"
end

return wire
