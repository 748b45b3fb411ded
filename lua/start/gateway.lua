-- Active checks of the servers behind `gateway` (section of config.lua): on one worker of each
-- process, one task per entry, for as long as these scripts are the ones that serve.
local config = require "host.config"
local gateway = require "web.gateway"
local host = require "host.gateway"
local http = require "host.http"
local log = require "host.log"
local task = require "host.task"
local time = require "host.time"


local function urls_of(entry)
  return type(entry.upstream) == "table" and entry.upstream or { entry.upstream }
end


local function ask(url, check, entry)
  local options = {
    timeout = check.timeout or 2, max = 65536, allow_private = entry.allow_private ~= false,
    insecure = entry.insecure,
  }
  local path = url:match "^unix:(.*)"
  if path then
    options.unix, options.url = path, check.path
  else
    options.url = url:gsub("/+$", "") .. check.path
  end
  local res, message = http.request(options)
  if not res then return false, message end
  if check.status then return res.status == check.status, "it answered " .. res.status end
  return res.status >= 200 and res.status < 400, "it answered " .. res.status
end


local function look_after(plan, entry)
  local was = {}
  while true do
    for i, url in ipairs(urls_of(entry)) do
      local good, message = ask(url, entry.check, entry)
      host.check(plan, i, good)
      if was[i] ~= nil and was[i] ~= good or (was[i] == nil and not good) then
        log.info(good and "a server is well again" or "a server is ill",
          { upstream = url, why = not good and message or nil })
      end
      was[i] = good
    end
    time.sleep(entry.check.every or 5)
  end
end


return function()
  local _, plans = gateway.routes(config.section "gateway")
  for _, item in ipairs(plans) do
    if item.entry.check then
      task.spawn(look_after, item.plan, item.entry)
    else
      host.uncheck(item.plan)
    end
  end
end
