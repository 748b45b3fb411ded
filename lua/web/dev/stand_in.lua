-- What `lunacast dev` answers while the application does not start (src/host/host.c): pages say
-- what is wrong and where. It takes boot.lua's place, so the application's routes are not read; the
-- pages follow /_dev/events as always, and load themselves again when the application serves.
local control = require "host.control"
local dev = require "web.dev"
local failure = require "web.failure"
local pages = require "dev.pages"
local request = require "web.request"
local sse = require "web.sse"

dev.standing_in = true

local known = {}
for _, page in ipairs(pages) do known[page.path] = page.GET end


-- The load's error as the page of a request that failed.
local function problem(x)
  local text = control.state().error
  local message, trace = text:match "^(.-)\nstack traceback:\n(.*)$"
  return failure.response(message or text, trace or "", x, true)
end


local boot = {}


function boot.dispatch(x, method, path)
  if not known[path] then return dev.page(problem(x), method) end
  local req = request.new(x, method, path)
  local res = known[path](req)
  if res.stream then return sse.prepare(req, res) end
  return dev.page(res, method)
end


function boot.failed(err, traceback, x)
  return failure.response(err, traceback, x, true)
end

boot.control = require("web.control").load()

return boot
