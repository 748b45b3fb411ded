-- A way to a server that can be disturbed: delays, silence, cuts, another server behind it.
--   local way = proxy.new(redis.address)
--   local app = test.app { redis = way }
--   way:delay(0.5)   way:slice(100, 0.1)   way:drop()   way:cut()   way:mend()
--   way:to(other.address)
-- Bytes pass in the order in which they came. One task per direction and connection.
local peer = require "host.peer"
local task = require "host.task"
local time = require "host.time"

local proxy = {}
local Proxy = {}
Proxy.__index = Proxy

local LOOK = 0.005


local function connect(address)
  if address.path then return peer.connect(address.path) end
  return peer.connect(address.host or "127.0.0.1", address.port)
end


local function is_over(socket)
  local _, ended = socket:status()
  return ended ~= nil
end


-- Passes bytes on, in pieces. False: there is no use in going on.
local function pass(self, pair, data, to)
  local at = 1
  while at <= #data do
    if self.pause > 0 then time.sleep(self.pause) end
    local piece = data:sub(at, self.most and at + self.most - 1)
    if pair.cut or not to:write(piece) then return false end
    at = at + #piece
    self.budget = self.budget and self.budget - #piece
    if self.budget and self.budget <= 0 then self:cut() end
  end
  return true
end


-- Until one side ends or the pair is cut.
local function pump(self, pair, from, to)
  while not pair.cut and not self.closed do
    local data = self.dropping and "" or from:take()
    if data ~= "" then
      if not pass(self, pair, data, to) then break end
    elseif is_over(from) then
      break
    else
      peer.wait(LOOK)
    end
  end
  pair.cut = true
end


local function serve(self, client)
  local upstream = connect(self.address)
  local pair = { client = client, upstream = upstream, open = 2 }
  self.pairs[pair] = true
  local function run(from, to)
    pump(self, pair, from, to)
    pair.open = pair.open - 1
    if pair.open > 0 then return end
    client:close()
    upstream:close()
    self.pairs[pair] = nil
  end
  task.spawn(run, client, upstream)
  task.spawn(run, upstream, client)
end


local function accept_all(self)
  while not self.closed do
    local client = self.listener:accept()
    if client and self.refusing then
      client:close()
    elseif client then
      serve(self, client)
    else
      peer.wait(LOOK)
    end
  end
  self.listener:close()
end


--- A proxy on a free port of 127.0.0.1, with `port` and `address`.
---@param address { host?: string, port?: integer, path?: string } of the server behind it
function proxy.new(address)
  local listener = assert(peer.listen("127.0.0.1", 0))
  local self = setmetatable({
    address = address, listener = listener, port = listener:port(), pairs = {}, pause = 0,
  }, Proxy)
  task.spawn(accept_all, self)
  return self
end


--- Every piece of bytes takes so much longer.
---@param seconds number
function Proxy:delay(seconds)
  self.pause = seconds
end


--- Bytes pass in pieces of so many, and each one takes so much longer: 1 KB/s is slice(1000, 1).
---@param bytes integer
---@param seconds number
function Proxy:slice(bytes, seconds)
  self.most, self.pause = bytes, seconds
end


--- Nothing passes any more, and nothing is closed: a black hole.
function Proxy:drop()
  self.dropping = true
end


--- All connections end; with `refuse` new ones end at once, until `mend`; with `after` they end
--- when so many more bytes have passed, in the middle of whatever they are.
---@param options? { refuse?: boolean, after?: integer }
function Proxy:cut(options)
  self.budget = options and options.after
  if self.budget then return end
  for pair in pairs(self.pairs) do pair.cut = true end
  self.refusing = options ~= nil and options.refuse or false
end


--- Another server is behind it: those who are connected are cut, as at a failover.
---@param address { host?: string, port?: integer, path?: string }
function Proxy:to(address)
  self.address = address
  self:cut()
end


--- Everything passes again.
function Proxy:mend()
  self.pause, self.dropping, self.refusing = 0, false, false
  self.most, self.budget = nil, nil
end


function Proxy:close()
  self.closed = true
end

return proxy
