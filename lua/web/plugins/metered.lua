-- Around a plugin's functions: their time and failures go to the plugin's account (host.account).
local account = require "host.account"
local errors = require "web.errors"

local enter, back = account.enter, account.back
local metered = {}


local function finish(plugin, before, counted, ok, ...)
  enter(before)
  if ok then return ... end
  if counted and not errors.is((...)) then account.failed(plugin.account) end
  error((...), 0)
end


--- For what a task ends with when it raises: C counts that failure, and its traceback stays whole.
---@param plugin table
---@param fn function
---@return function
function metered.open(plugin, fn)
  local id = plugin.account
  return function(...)
    return back(enter(id), fn(...))
  end
end


--- For what is called below somebody's pcall; counts failures.
function metered.closed(plugin, fn)
  local id = plugin.account
  return function(...)
    return finish(plugin, enter(id), true, pcall(fn, ...))
  end
end


--- The same for filters and the like, where what is raised is about a stranger's arguments.
function metered.timed(plugin, fn)
  local id = plugin.account
  return function(...)
    return finish(plugin, enter(id), false, pcall(fn, ...))
  end
end


--- A middleware around a handler; what the handler does is not the plugin's.
---@param plugin table `off` is looked at for each request
---@param fn web.Middleware
---@param inner web.Handler
---@return web.Handler
function metered.around(plugin, fn, inner)
  local id = plugin.account
  local function next_one(req)
    return back(enter(0), inner(req))
  end
  return function(req)
    if plugin.off then return inner(req) end
    return back(enter(id), fn(req, next_one))
  end
end

return metered
