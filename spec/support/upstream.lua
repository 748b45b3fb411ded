-- Upstreams for specs: programs that listen on a free port and say so.
--   local up = upstream.start()                      -- spec/support/upstream.mjs
--   up.url .. "/path"; up:records(); up:stop()
local crypto = require "host.crypto"
local http = require "spec.support.http"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local upstream = {}
local Upstream = {}
Upstream.__index = Upstream


--- Starts `command` with `args` and waits for its line "upstream ready on PORT".
---@param command? string
---@param args? string[]
function upstream.start(command, args)
  local self = setmetatable({}, Upstream)
  self.process = process.spawn(command or "node", args or { "spec/support/upstream.mjs" })
  wait.till(function()
    return self.process.out:find "upstream ready on %S+\n" or not self.process:running()
  end, "an upstream")
  local where = self.process.out:match "upstream ready on (%S+)\n"
  if not where then error("the upstream did not start:\n" .. self.process.err, 2) end
  self.port = tonumber(where)
  self.address = self.port and { host = "127.0.0.1", port = self.port } or { path = where }
  self.url = self.port and ("http://127.0.0.1:%d"):format(self.port)
  return self
end


--- The headers that make it answer with these bytes (or list of pieces), and do `what` next.
---@param bytes string|string[]
---@param what? "keep"|"close"|"reset"
function upstream.answer(bytes, what)
  local pieces = {}
  for i, piece in ipairs(type(bytes) == "table" and bytes or { bytes }) do
    pieces[i] = crypto.base64_encode(piece)
  end
  return { ["X-Answer"] = table.concat(pieces, ","), ["X-Then"] = what or "keep" }
end


--- What came so far: { { connection = 1, raw = "GET ..." }, ... }
function Upstream:records()
  return http.request(self, "GET", "/records"):json()
end


--- What came and is no whole request: a list of texts.
function Upstream:left()
  return http.request(self, "GET", "/left"):json()
end


function Upstream:forget()
  http.request(self, "GET", "/forget")
end


--- How many connections are over, without those of these functions.
function Upstream:ended()
  return http.request(self, "GET", "/ended"):json()
end


function Upstream:kill(signal)
  self.process:kill(signal or "sigkill")
  self.process:wait()
end

Upstream.stop = Upstream.kill

return upstream
