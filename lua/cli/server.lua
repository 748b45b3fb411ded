-- The running server of this application, by its control socket.
local errors = require "cli.errors"
local host = require "host.command"
local http = require "host.http"
local json = require "host.json"

local server = {}

local SOCKET = host.data .. "/control.sock"
local IDLE = 60 -- seconds without a byte; streams say every 10 that they are there
local ABSENT = { refused = true, connect = true }


local function explain(message, code)
  if ABSENT[code] then
    errors.fail("no server runs on %s (%s); start it: lunacast run %s", host.folder, message,
      host.folder)
  end
  errors.fail("the server does not answer: %s", message)
end


local function request(method, path, options)
  local all = {}
  for name, value in pairs(options or {}) do all[name] = value end
  all.unix, all.url, all.method = SOCKET, path, method
  return http.request(all)
end


local function decode(res)
  local value, message = json.decode(res.body)
  if value == nil then errors.fail("the server's answer makes no sense: %s", message) end
  return value
end


--- Is there one?
---@return boolean
function server.runs()
  local _, message, code = request("GET", "/status", { timeout = 5 })
  if message and not ABSENT[code] then explain(message, code) end
  return message == nil
end


--- Asks; ends the command when there is no server, or when it refuses.
---@param method string
---@param path string
---@param options? { json?: any, timeout?: number }
---@return any answer decoded
function server.ask(method, path, options)
  local res, message, code = request(method, path, options)
  if not res then explain(message, code) end
  if res.status >= 400 then
    local ok, value = pcall(json.decode, res.body)
    errors.fail("%s", ok and type(value) == "table" and value.error or res.body)
  end
  return decode(res)
end


--- The same, but a refusal is the command's to explain.
---@return any answer decoded
---@return integer status
function server.try(method, path, options)
  local res, message, code = request(method, path, options)
  if not res then explain(message, code) end
  return decode(res), res.status
end


--- A stream of events; ends the command when the server refuses, and nil, message, code when there
--- is none or it does not answer.
---@param path string
---@return table|nil feed
---@return string|nil message
---@return string|nil code
function server.try_events(path)
  local feed = http.events { unix = SOCKET, url = path, idle_timeout = IDLE }
  if feed.code == "bad_response" then server.ask("GET", path, { timeout = 5 }) end -- says why
  if feed.failure then return nil, feed.failure, feed.code end
  return feed
end


--- The same, and ends the command when there is none.
---@param path string
---@return table feed
function server.events(path)
  local feed, message, code = server.try_events(path)
  return feed or explain(message, code)
end


--- A text in a path or query.
function server.escape(text)
  return (text:gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

return server
