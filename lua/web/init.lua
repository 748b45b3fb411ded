-- What a route needs, in one table: `local web = require "web"`.
local errors = require "web.errors"
local response = require "web.response"

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
  sse = response.sse,
  with = response.with,
  throw = errors.throw,
}

return web
