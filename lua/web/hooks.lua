-- Hooks: functions of the application that are called when something happens, and that may refuse
-- what has not happened yet. A file in lua/hooks/ returns { connect = function(context) ... end },
-- with one function for each name it cares for; a plugin adds its own with `add`.
--
--   may refuse (false, message, code):  request connect subscribe publish message
--   are only told:                      response render slow close gone
--
-- The first refusal wins and ends the run. A hook that raises is logged; where it may refuse, it
-- has refused, since nobody knows what it wanted to forbid. Functions run in the order of their
-- files' names, then as they were added. Lists are replaced, never changed, so that a hook may be
-- taken away while it runs. Those around requests are added while the scripts are loaded: what
-- answers a route is put together then (`around`).
local errors = require "web.errors"
local loader = require "web.loader"
local log = require "host.log"

local hooks = {}

---@alias hooks.Name
---| "request" | "response" | "connect" | "subscribe" | "publish"
---| "message" | "render" | "slow" | "close" | "gone"

-- name -> may it refuse?
local NAMES = {
  request = true, connect = true, subscribe = true, publish = true, message = true,
  response = false, render = false, slow = false, close = false, gone = false,
}

local lists = {}
local loaded = false


local function known()
  local names = {}
  for name in pairs(NAMES) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end


local function check(name, fn, origin, level)
  if NAMES[name] == nil then
    error(("%sno hook is named %s; there are %s"):format(origin, tostring(name), known()), level)
  end
  if type(fn) ~= "function" then
    error(("%sthe hook %s is a %s, not a function"):format(origin, name, type(fn)), level)
  end
end


local function append(name, fn, origin)
  local list = table.move(lists[name] or {}, 1, #(lists[name] or {}), 1, {})
  local entry = { fn = fn, origin = origin }
  list[#list + 1] = entry
  lists[name] = list
  return entry
end


local function remove(name, entry)
  local kept = {}
  for _, other in ipairs(lists[name] or {}) do
    if other ~= entry then kept[#kept + 1] = other end
  end
  lists[name] = #kept > 0 and kept or nil
end


--- Adds a function to a hook.
---@param name hooks.Name
---@param fn fun(context: table): boolean|nil, string|nil, string|nil
---@param origin? string who it is of, for the log
---@return fun() undo takes it away; harmless the second time
function hooks.add(name, fn, origin)
  check(name, fn, "", 3)
  if loaded and (name == "request" or name == "response") then
    error(("the hook %s is added while scripts are loaded, not later"):format(name), 2)
  end
  local entry = append(name, fn, origin or "a plugin")
  return function() remove(name, entry) end
end


--- Is there any function for this hook? Cheap: ask before making a context.
---@param name hooks.Name
---@return boolean
function hooks.any(name)
  return lists[name] ~= nil
end


-- What the hook's function said, as a refusal or nothing.
local function verdict(name, entry, ok, result, message, code)
  if ok then
    if result == false or result == nil and message ~= nil then
      return false, message or "this is not allowed", code or "refused"
    end
    return
  end
  if errors.is(result) then
    if NAMES[name] then return false, result.message, result.code, result.status end
    return
  end
  log.error("a hook failed", { hook = name, origin = entry.origin, error = tostring(result) })
  if NAMES[name] then
    return false, "a hook of the application failed; the server's log says how", "hook_failed"
  end
end


--- Runs a hook. Its functions may wait.
---@param name hooks.Name
---@param context table plain data and what the hook is about; the same table for all functions
---@return false|nil refused
---@return string|nil message
---@return string|nil code
---@return integer|nil status where a function has thrown an answer (web.throw)
function hooks.run(name, context)
  local list = lists[name]
  if not list then return end
  for i = 1, #list do
    local refused, message, code, status =
      verdict(name, list[i], pcall(list[i].fn, context))
    if refused == false then return false, message, code, status end
  end
end


local function hooked(handler, req)
  local refused, message, code, status = hooks.run("request", { req = req })
  if refused == false then errors.throw(status or 403, code, message) end
  local context = { req = req, response = handler(req) }
  hooks.run("response", context)
  return context.response
end


--- The handler with the hooks request and response around it, or as it is when there are none; no
--- more are added from now on.
---@param handler web.Handler
---@return web.Handler
function hooks.around(handler)
  loaded = true
  if not hooks.any "request" and not hooks.any "response" then return handler end
  return function(req) return hooked(handler, req) end
end


--- Loads lua/hooks/; called by boot so that a wrong file fails the load.
function hooks.load()
  loader.each("hooks", function(value, origin)
    if type(value) ~= "table" then
      error(("%s: a hooks file returns a table, it returned a %s"):format(origin, type(value)), 0)
    end
    for name, fn in pairs(value) do
      check(name, fn, origin .. ": ", 0)
      append(name, fn, origin)
    end
  end)
end

return hooks
