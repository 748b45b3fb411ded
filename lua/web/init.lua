-- What a route needs, in one table: `local web = require "web"`.
local errors = require "web.errors"
local json = require "host.json"
local response = require "web.response"
local sse = require "web.sse"

---@class web
local web = {
  text = response.text,
  html = response.html,
  svg = response.svg,
  json = response.json,
  empty = response.empty,
  redirect = response.redirect,
  error = response.error,
  chunks = response.chunks,
  mixed = response.mixed,
  sse = sse.response,
  proxy = require("web.proxy").proxy,
  with = response.with,
  file = require "web.static",
  escape = require "web.escape",
  render = require "web.render",
  throw = errors.throw,
  throw_world = errors.throw_world,
}


--- A list that is JSON's [] also when it is empty.
---@param list? any[]
function web.array(list)
  return setmetatable(list or {}, json.array_mt)
end

return web
