-- Development mode: a page that a browser has open follows the scripts. Each HTML answer gets a
-- script at its end, which listens to /_dev/events: when other scripts serve than those that made
-- the page it is loaded again; when the files are wrong it shows what and where, above the page.
--
-- The answer's policy (CSP) is widened by that script and its stream, and the answer is not kept by
-- any cache: a page from a cache would be of old scripts for ever. Only with the setting dev.
local control = require "host.control"
local file = require "host.file"
local hub = require "host.hub"
local json = require "host.json"
local metrics = require "host.metrics"
local source = require "web.source"

local dev = {}

dev.TOPIC = "_dev"
dev.standing_in = false -- the application does not start: see stand_in.lua
local PAGE_MAX = 4 * 1024 * 1024 -- a larger page stays as it is
local TAG = '<script src="/_dev/client.js" data-scripts="%s"></script>'


-- Which scripts, of which process: a number that no restart repeats.
local function scripts_id(state)
  return ("%.0f-%d"):format(metrics.get "process_start_time_seconds" or 0, state.generation)
end


--- How the scripts are, as pages see it.
---@return table
function dev.state()
  local state = control.state()
  return {
    scripts = scripts_id(state),
    generation = state.generation,
    standing_in = dev.standing_in,
    since = state.since,
    failed_since = state.failed_since,
    error = state.error and source.explain(state.error) or nil,
  }
end


--- Tells the pages that are open.
function dev.tell()
  hub.publish_local(dev.TOPIC, json.encode(dev.state()))
end


-- A directive with one more source; what `default-src` gave stays.
local function widen(policy, name, extra)
  local list = policy:match("%f[%w-]" .. name .. "%s+([^;]*)")
  if list then
    local wider = list:gsub("'none'", "") .. " " .. extra
    return (policy:gsub("%f[%w-]" .. name .. "%s+[^;]*", function()
      return name .. " " .. wider
    end))
  end
  local default = policy:match "default%-src%s+([^;]*)"
  if not default then return policy end
  return ("%s; %s %s %s"):format(policy, name, default:gsub("'none'", ""), extra)
end


local function without_cache(headers)
  local all = {}
  for name, value in pairs(headers or {}) do
    local lower = name:lower()
    if lower == "content-security-policy" then
      value = widen(widen(tostring(value), "script-src", "'self'"), "connect-src", "'self'")
    end
    if lower ~= "etag" and lower ~= "last-modified" and lower ~= "cache-control"
      and lower ~= "accept-ranges" then
      all[name] = value
    end
  end
  all["Cache-Control"] = "no-store"
  return all
end


local function is_html(res)
  local content_type = res.type or res.headers and res.headers["Content-Type"]
  return type(content_type) == "string" and content_type:find("^text/html") ~= nil
end


-- The text of a page, from a file too; nil: it is left alone.
local function text_of(res, method)
  if res.body then return #res.body <= PAGE_MAX and res.body or nil end
  if not res.file or method ~= "GET" or res.status ~= 200 then return nil end
  return (file.read(res.file.path, { limit = PAGE_MAX }))
end


local function with_script(text)
  local tag = TAG:format(scripts_id(control.state()))
  local at
  for place in text:gmatch "()</[bB][oO][dD][yY]>" do at = place end
  if at then return text:sub(1, at - 1) .. tag .. text:sub(at) end
  return text .. tag
end


--- An answer with the script in it, where it is a page.
---@param res web.Response
---@param method string
---@return web.Response
function dev.page(res, method)
  if type(res) ~= "table" or not is_html(res) then return res end
  local text = text_of(res, method)
  if not text then return res end
  local page = {}
  for name, value in pairs(res) do page[name] = value end
  page.file, page.body, page.headers = nil, with_script(text), without_cache(res.headers)
  return page
end


--- Puts itself around what boot returns.
---@param boot table
function dev.install(boot)
  local dispatch, failed, reloaded = boot.dispatch, boot.failed, boot.reloaded
  boot.static = nil -- so that all answers come by here
  function boot.dispatch(x, method, path)
    local res, req = dispatch(x, method, path)
    return dev.page(res, method), req
  end
  function boot.failed(...)
    local res, meant = failed(...)
    return dev.page(res, "FAILED"), meant
  end
  function boot.reloaded()
    dev.tell()
    return reloaded()
  end
  boot.refused = dev.tell
end

return dev
