-- HTTP for specs, close to the wire.
--   local res = http.request(server, "PUT", "/api/session/a", { json = { args = {} } })
--   local stream = http.pictures(server, "/stream/a")      -- multipart/x-mixed-replace
--   assert.matches("<svg", stream:next())
local json = require "host.json"
local wire = require "host.test.wire"

local http = {}


local function head_lines(method, path, options)
  local lines, seen = { ("%s %s HTTP/1.1"):format(method, path) }, {}
  for name, value in pairs(options.headers or {}) do
    seen[name:lower()] = true
    lines[#lines + 1] = ("%s: %s"):format(name, value)
  end
  local function default(name, value)
    if value and not seen[name:lower()] then lines[#lines + 1] = ("%s: %s"):format(name, value) end
  end
  default("Host", "spec")
  default("Content-Type", options.json ~= nil and "application/json")
  default("Authorization", options.token and "Bearer " .. options.token)
  default("Content-Length", options.body and #options.body)
  return lines
end


--- The bytes of a request.
---@param options? { headers?: table, body?: string, json?: any, token?: string }
function http.format(method, path, options)
  options = options or {}
  if options.json ~= nil then options.body = json.encode(options.json) end
  local lines = head_lines(method, path, options)
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (options.body or "")
end


local function read_chunks(c)
  local parts = {}
  while true do
    local line = c:read_line()
    local digits = line and line:match "^%x+"
    local size = digits and tonumber(digits, 16)
    if not size then return table.concat(parts), "cut" end
    if size == 0 then
      c:read_until "\r\n"
      return table.concat(parts)
    end
    local data = c:read(size + 2)
    parts[#parts + 1] = data:sub(1, size)
    if #data < size + 2 then return table.concat(parts), "cut" end
  end
end


--- Status and headers of the next answer; nil when the peer closed without one.
function http.read_head(c, seconds)
  local head = c:read_until("\r\n\r\n", seconds)
  if not head then return nil end
  local res = { headers = {}, list = {}, head = head }
  res.status = tonumber(head:match "^HTTP/1%.%d (%d%d%d)")
  for name, value in head:gmatch "\r\n([^:\r\n]+):[ \t]*([^\r\n]*)" do
    res.headers[name:lower()] = value
    res.list[#res.list + 1] = { name, value }
  end
  return res
end


--- The next answer on a connection, body included. 1xx answers are skipped, and counted in
--- `interim`.
function http.read_response(c, method, seconds)
  local res, interim = http.read_head(c, seconds), 0
  while res and res.status < 200 do
    interim = interim + 1
    res = http.read_head(c, seconds)
  end
  if not res then return nil end
  res.interim = interim
  local length = tonumber(res.headers["content-length"])
  if method == "HEAD" or res.status == 204 or res.status == 304 then
    res.body = ""
  elseif res.headers["transfer-encoding"] == "chunked" then
    res.body, res.cut = read_chunks(c)
  elseif length then
    res.body = c:read(length, seconds)
    res.cut = #res.body < length and "cut" or nil
  else
    res.body = c:read_all(seconds)
  end
  function res:json()
    local value, message = json.decode(self.body)
    if value == nil then error(("not JSON: %s: %q"):format(message, self.body), 2) end
    return value
  end
  return res
end


local function address_of(server)
  return server.address or server
end


--- Connects to a server (spec.support.server) or an address.
function http.connect(server)
  local c, err = wire.connect(address_of(server))
  if not c then error("cannot connect: " .. err, 2) end
  return c
end


--- One request on a connection that stays open.
function http.ask(c, method, path, options)
  c:send(http.format(method, path, options))
  return http.read_response(c, method, options and options.seconds)
end


--- One request on a connection of its own.
---@param options? { headers?: table, body?: string, json?: any, token?: string, seconds?: number }
function http.request(server, method, path, options)
  options = options or {}
  options.headers = options.headers or {}
  options.headers.Connection = options.headers.Connection or "close"
  local c = http.connect(server)
  local res = http.ask(c, method, path, options)
  c:close()
  if not res then error(("%s %s: the server closed without an answer"):format(method, path), 2) end
  return res
end


-- Streams ------------------------------------------------------------------------------------

local Pictures = {}
Pictures.__index = Pictures


--- Opens a stream of pictures. `status` and `headers` are there at once; with a status other than
--- 200 the `body` too.
function http.pictures(server, path, options)
  local c = http.connect(server)
  c:send(http.format("GET", path, options))
  local self = setmetatable({ wire = c, count = 0 }, Pictures)
  local res = http.read_head(c)
  if not res then error(path .. ": the server closed without an answer", 2) end
  self.status, self.headers = res.status, res.headers
  local boundary = (res.headers["content-type"] or ""):match "boundary=([%w]+)"
  if res.status ~= 200 or not boundary then
    self.body = c:read(tonumber(res.headers["content-length"]) or 0)
    return self
  end
  self.opening = "--" .. boundary .. "\r\nContent-Type: image/svg+xml\r\n\r\n"
  self.first = c:read(#self.opening)
  return self
end


--- The next whole picture: its bytes, once the next part's header block has come, for only then a
--- browser paints it. Nil when the stream has ended.
function Pictures:next(seconds)
  local part = self.wire:read_until("\r\n" .. self.opening, seconds)
  if not part then return nil end
  self.count = self.count + 1
  return part:sub(1, -#self.opening - 3)
end


--- Pictures until one matches the pattern; returns it and how many came before.
function Pictures:till(pattern, seconds)
  local skipped = 0
  while true do
    local picture = self:next(seconds)
    if not picture then error("the stream ended before " .. pattern, 2) end
    if picture:find(pattern) then return picture, skipped end
    skipped = skipped + 1
  end
end


function Pictures:close()
  self.wire:close()
end


local Events = {}
Events.__index = Events


--- Opens a stream of server-sent events; `options.method` when it answers another method than GET.
function http.events(server, path, options)
  options = options or {}
  options.headers = options.headers or {}
  options.headers.Accept = options.headers.Accept or "text/event-stream"
  local c = http.connect(server)
  c:send(http.format(options.method or "GET", path, options))
  local res = http.read_head(c)
  if not res then error(path .. ": the server closed without an answer", 2) end
  return setmetatable({ wire = c, status = res.status, headers = res.headers }, Events)
end


--- The next event: { event, id, data, retry }; comments are counted in `comments`. Nil at the end.
function Events:next(seconds)
  while true do
    local block = self.wire:read_until("\n\n", seconds)
    if not block then return nil end
    local event, data = {}, {}
    for line in block:gmatch "([^\n]+)" do
      local name, value = line:match "^(%w+): ?(.*)$"
      if line:sub(1, 1) == ":" then
        self.comments = (self.comments or 0) + 1
      elseif name == "data" then
        data[#data + 1] = value
      elseif name then
        event[name] = value
      end
    end
    if #data > 0 then event.data = table.concat(data, "\n") end
    if next(event) then return event end
  end
end


function Events:close()
  self.wire:close()
end

return http
