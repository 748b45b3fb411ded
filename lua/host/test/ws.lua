-- A WebSocket client for specs that writes any frame, right or wrong, and reads what comes.
--   local c = ws.connect(app, "/echo")
--   c:text "hi"
--   assert.equal("hi", c:read().data)
local wait = require "host.test.wait"
local wire = require "host.test.wire"

local ws = {}
local Ws = {}
Ws.__index = Ws

local KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
local MASK = "\x37\xfa\x21\x3d"
local OPCODES = {
  [0] = "continuation", "text", "binary", [8] = "close", [9] = "ping", [10] = "pong",
}


local function request(path, headers)
  local lines = { "GET " .. path .. " HTTP/1.1" }
  local all = {
    Host = "localhost", Connection = "Upgrade", Upgrade = "websocket",
    ["Sec-WebSocket-Version"] = "13", ["Sec-WebSocket-Key"] = KEY,
  }
  for name, value in pairs(headers or {}) do all[name] = value end
  for name, value in pairs(all) do
    if value then lines[#lines + 1] = name .. ": " .. value end
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end


--- Sends the opening and reads the head of the answer.
---@param app any a server
---@param path string
---@param headers? table<string, string|false> false: without it
---@param text? string the whole request instead
---@return table client with `status` and `headers`; a frame can be read when status is 101
function ws.open(app, path, headers, text)
  local self = setmetatable({ wire = assert(wire.connect(app.address)) }, Ws)
  self.wire:send(text or request(path, headers))
  local head = assert(self.wire:read_until("\r\n\r\n", 10), "no answer to the opening")
  self.status = tonumber(head:match "^HTTP/1.1 (%d+)")
  self.headers = {}
  for name, value in head:gmatch "\r\n([^:]+): ([^\r]*)" do self.headers[name:lower()] = value end
  return self
end


--- The same for an opening that must succeed.
function ws.connect(app, path, headers)
  local self = ws.open(app, path, headers)
  if self.status ~= 101 then error("the opening was answered " .. tostring(self.status), 2) end
  assert(self.headers["sec-websocket-accept"] == ACCEPT, "another Sec-WebSocket-Accept")
  return self
end


local function masked(data, mask)
  local out = {}
  for at = 1, #data, 4096 do
    local bytes = { data:byte(at, at + 4095) }
    for i, byte in ipairs(bytes) do bytes[i] = byte ~ mask:byte((at + i - 2) % 4 + 1) end
    out[#out + 1] = string.char(table.unpack(bytes))
  end
  return table.concat(out)
end


--- A client's frame. `first` is the whole first byte: 0x81 is a text in one frame.
function ws.frame(first, data)
  local n = #data
  local length
  if n < 126 then
    length = string.char(0x80 | n)
  elseif n < 65536 then
    length = string.pack(">BI2", 0xfe, n)
  else
    length = string.pack(">BI8", 0xff, n)
  end
  return string.char(first) .. length .. MASK .. masked(data, MASK)
end


function Ws:raw(bytes)
  return self.wire:send(bytes)
end


function Ws:text(data)
  return self:raw(ws.frame(0x81, data))
end


function Ws:binary(data)
  return self:raw(ws.frame(0x82, data))
end


function Ws:ping(data)
  return self:raw(ws.frame(0x89, data))
end


function Ws:send_close(code, reason)
  return self:raw(ws.frame(0x88, code and string.pack(">I2", code) .. (reason or "") or ""))
end


--- The next frame as it is (a ping stays unanswered):
--- { kind = "text", data = ..., code, reason }; nil when the server has ended.
function Ws:read(seconds)
  local head = self.wire:read(2, seconds)
  if #head < 2 then return nil end
  local first, length = head:byte(1, 2)
  assert(length < 128, "a server's frame is masked")
  if length == 126 then
    length = string.unpack(">I2", self.wire:read(2, seconds))
  elseif length == 127 then
    length = string.unpack(">I8", self.wire:read(8, seconds))
  end
  local frame = {
    first = first, kind = OPCODES[first & 15], data = self.wire:read(length, seconds),
  }
  if frame.kind == "close" and length >= 2 then
    frame.code, frame.reason = string.unpack(">I2", frame.data), frame.data:sub(3)
  end
  return frame
end


Ws.send = Ws.text


-- The next frame that is no ping: those are answered, as every client does.
local function read_answering(self, seconds)
  while true do
    local frame = self:read(seconds)
    if not frame or frame.kind ~= "ping" then return frame end
    self:raw(ws.frame(0x8a, frame.data))
  end
end


--- The next message; nil when the server has ended. Pings are answered, pongs passed over.
---@param seconds number|nil
---@return string|nil data
---@return integer|nil code of the close, at the end
---@return string|nil reason
function Ws:next(seconds)
  while true do
    local frame = read_answering(self, seconds)
    if not frame then return nil end
    if frame.kind == "text" or frame.kind == "binary" then return frame.data end
    if frame.kind == "close" then return nil, frame.code, frame.reason end
  end
end


--- The next text's data, pings answered; fails when anything else comes.
function Ws:read_text(seconds)
  local frame = read_answering(self, seconds)
  if not frame or frame.kind ~= "text" then
    error(("expected a text, got %s %s"):format(frame and frame.kind or "the end",
      frame and (frame.code or frame.data) or ""), 2)
  end
  return frame.data
end


--- Has nothing come? Asks by a ping, whose answer comes after everything that was sent before.
function Ws:is_quiet()
  self:ping "quiet?"
  local frame = read_answering(self)
  return frame ~= nil and frame.kind == "pong", frame and frame.data
end


--- The close frame that comes next, and then the end of TCP within a second or so.
function Ws:read_close(seconds)
  local frame
  wait.till(function()
    frame = self:read(seconds)
    return frame == nil or frame.kind == "close"
  end, "a close frame", seconds)
  return frame and frame.code, frame and frame.reason
end


function Ws:ends_within(seconds)
  return self.wire:ends_within(seconds)
end


function Ws:close()
  self.wire:close()
end

return ws
