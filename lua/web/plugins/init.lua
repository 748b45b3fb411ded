-- Plugins: folders plugins/<name>/ of the application, or shipped in the binary, whose init.lua
-- returns { name, version, requires, config = schema, setup = function(plugin, config) end, save,
-- restore }. They are enabled by config.lua, in the order of its list:
--
--   plugins = { "cors", { "ratelimit", limit = 10, off_after = 20 } }
--
--   list -> manifests -> settings checked, order found -> setup of each -> routes -> serving
--
-- Until all settings are right no code of a plugin has run but its manifest. Whatever goes wrong at
-- load fails the load, so that the VM that served before goes on. `off_after = n` switches a plugin
-- off in all workers when its code has failed n times within a minute.
local account = require "host.account"
local config = require "host.config"
local errors = require "web.template.errors"
local file = require "host.file"
local json = require "host.json"
local log = require "host.log"
local metrics = require "host.metrics"
local object = require "web.plugins.object"
local order = require "web.plugins.order"
local settings = require "web.plugins.settings"
local time = require "host.time"

local plugins = {}

local DEFAULT <const> = { "badge", "chart" } -- where config.lua says nothing
local KEYS <const> = {
  name = true, version = true, summary = true, requires = true, config = true, setup = true,
  save = true, restore = true,
}
local WINDOW <const> = 60 -- seconds in which failures are counted

local sorted = {} ---@type web.Plugin[]
local by_name = {} ---@type table<string, web.Plugin>
local host = { exports = {} }
local node


-- The name of this process in leases; it stays when scripts are reloaded.
function host.node()
  if not node then
    local crypto = require "host.crypto"
    node = crypto.base64url_encode(crypto.random(12))
  end
  return node
end

-- The list ------------------------------------------------------------------------------------

local function split_entry(entry, i)
  if type(entry) == "string" then return entry, {} end
  if type(entry) ~= "table" or type(entry[1]) ~= "string" or #entry > 1 then
    error(('config.lua: plugins[%d] is a name, or { "name", setting = value }'):format(i), 0)
  end
  local name = table.remove(entry, 1)
  return name, entry
end


local function off_after_of(name, given)
  local n = given.off_after
  given.off_after = nil
  if n == nil or math.type(n) == "integer" and n > 0 then return n end
  settings.fail(name, "off_after", "must be a whole number of failures, got %s", tostring(n))
end


local function known_names()
  local names = {}
  for _, name in ipairs(file.list "plugins") do names[name] = true end
  return names
end


local function check_manifest(name, manifest)
  local origin = ("plugins/%s/init.lua"):format(name)
  if type(manifest) ~= "table" then
    error(("%s: a plugin is a table { name, setup ... }, got a %s")
      :format(origin, type(manifest)), 0)
  end
  for key in pairs(manifest) do
    if not KEYS[key] then
      error(("%s: %s has no meaning in a plugin%s"):format(origin, tostring(key),
        errors.suggest(tostring(key), KEYS)), 0)
    end
  end
  if manifest.name ~= name then
    error(("%s: its name is %q; it must be the folder's")
      :format(origin, tostring(manifest.name)), 0)
  end
  for _, key in ipairs { "setup", "save", "restore" } do
    if manifest[key] ~= nil and type(manifest[key]) ~= "function" then
      error(("%s: %s must be a function, got a %s"):format(origin, key, type(manifest[key])), 0)
    end
  end
  return manifest
end


local function manifest_of(name)
  if not name:find "^[%w_-]+$" then
    error(("config.lua: a plugin's name is letters, digits, - and _, got %q"):format(name), 0)
  end
  local known = known_names()
  if not known[name] then
    settings.fail(name, "", "there is no folder plugins/%s%s", name, errors.suggest(name, known))
  end
  return check_manifest(name, require("plugins." .. name))
end

-- Loading -------------------------------------------------------------------------------------

-- plugins/<name>/routes/ and filters/ are what such folders are in lua/.
local function add_folders(plugin)
  local has = {}
  for _, name in ipairs(file.list(plugin.folder)) do has[name] = true end
  if has.templates then plugin:templates "templates" end
  for folder, add in pairs {
    routes = function(value) plugin:route(value) end,
    filters = function(value, stem) plugin:filter(stem, value) end,
  } do
    for _, name in ipairs(has[folder] and file.list(plugin.folder .. "/" .. folder) or {}) do
      local stem = name:match "^([%w_-]+)%.lua$"
      if stem then add(require(("plugins.%s.%s.%s"):format(plugin.name, folder, stem)), stem) end
    end
  end
end


local function set_up(plugin)
  add_folders(plugin)
  local setup = plugin.manifest.setup
  if setup then
    local ok, result = pcall(setup, plugin, plugin.config)
    if not ok then error(("plugins/%s: setup: %s"):format(plugin.name, tostring(result)), 0) end
    host.exports[plugin.name] = result
  end
  plugin:seal()
end


--- Loads the plugins that config.lua enables; called by boot before the routes.
function plugins.load()
  local list = config.section "plugins" or DEFAULT
  local names, manifests, given, off_after = {}, {}, {}, {}
  for i, entry in ipairs(list) do
    local name, own = split_entry(entry, i)
    if manifests[name] then settings.fail(name, "", "is enabled twice") end
    names[i], manifests[name], given[name] = name, manifest_of(name), own
    off_after[name] = off_after_of(name, own)
  end
  for _, name in ipairs(names) do
    given[name] = settings.check(name, manifests[name].config, given[name])
  end
  for _, name in ipairs(order.of(names, manifests)) do
    local plugin = object.new(manifests[name], given[name], host)
    plugin.off_after = off_after[name]
    set_up(plugin)
    sorted[#sorted + 1], by_name[name] = plugin, plugin
  end
end


--- Adds all their routes.
---@param add fun(route: table, origin: string): fun() returns the undo
function plugins.add_routes(add)
  for _, plugin in ipairs(sorted) do plugin:add_routes(add) end
end


--- All their middleware around a handler, the first plugin's outermost.
---@param handler web.Handler
---@return web.Handler
function plugins.wrap(handler)
  for i = #sorted, 1, -1 do handler = sorted[i]:wrap(handler) end
  return handler
end

-- Serving -------------------------------------------------------------------------------------

local off_gauge


local function switch_off(plugin, failures)
  plugin:remove()
  off_gauge:set(1, { plugin = plugin.name })
  log.error("a plugin keeps failing and was switched off; a reload tries it again", {
    plugin = plugin.name, failures = failures, seconds = WINDOW,
  })
end


-- Failures are of the process, so that all workers see the same and switch off together.
local function watch(watched)
  local since, base = time.monotonic(), {}
  for _, plugin in ipairs(watched) do base[plugin] = account.failures(plugin.account) end
  while true do
    time.sleep(0.5)
    for _, plugin in ipairs(watched) do
      local failures = account.failures(plugin.account) - base[plugin]
      if not plugin.off and failures >= plugin.off_after then switch_off(plugin, failures) end
    end
    if time.monotonic() - since > WINDOW then
      since = time.monotonic()
      for _, plugin in ipairs(watched) do base[plugin] = account.failures(plugin.account) end
    end
  end
end


--- Begins their timers; on each worker once it serves.
---@param worker integer
function plugins.start(worker)
  local watched = {}
  for _, plugin in ipairs(sorted) do
    plugin:start(worker)
    if plugin.off_after then watched[#watched + 1] = plugin end
  end
  if #watched == 0 then return end
  off_gauge = metrics.gauge("plugin_off", "Workers on which a plugin is switched off.")
  for _, plugin in ipairs(watched) do off_gauge:set(0, { plugin = plugin.name }) end
  require("host.task").spawn(watch, watched)
end


--- What newer code is to take over: plain data.
---@return table
function plugins.save()
  local state = { node = host.node(), plugins = {} }
  for _, plugin in ipairs(sorted) do
    local saved = { version = plugin.version, timers = {} }
    for i, timer in ipairs(plugin.timers) do saved.timers[i] = timer.due or json.null end
    if plugin.manifest.save and not plugin.off then
      local ok, result = pcall(plugin.manifest.save, plugin)
      local encoded = ok and result ~= nil and select(2, pcall(json.encode, result))
      saved.state = ok and result ~= nil and json.decode(encoded) or nil
      if not ok or result ~= nil and saved.state == nil then
        plugin.log.error("its state could not be saved",
          { error = tostring(ok and encoded or result) })
      end
    end
    state.plugins[plugin.name] = saved
  end
  return state
end


local function restore_one(plugin, saved)
  for i, timer in ipairs(plugin.timers) do
    local due = saved.timers[i]
    if type(due) == "number" then timer.due = math.min(due, time.monotonic() + timer.seconds) end
  end
  if saved.state == nil or not plugin.manifest.restore then return end
  local ok, err = pcall(plugin.manifest.restore, plugin, saved.state, saved.version)
  if not ok then plugin.log.error("its state could not be restored", { error = tostring(err) }) end
end


--- Takes over what older code has saved; before anything is served.
---@param state table
function plugins.restore(state)
  node = state.node
  for _, plugin in ipairs(sorted) do
    local saved = state.plugins[plugin.name]
    if saved then restore_one(plugin, saved) end
  end
end

-- Looking in ------------------------------------------------------------------------------------

--- The plugins in the order of their set-up.
---@return { name: string, version: string, off: boolean, failures: integer, counts: table }[]
function plugins.list()
  local list = {}
  for i, plugin in ipairs(sorted) do
    list[i] = {
      name = plugin.name, version = plugin.version, off = plugin.off == true,
      failures = account.failures(plugin.account), counts = plugin.counts,
    }
  end
  return list
end


--- Takes a plugin away from this VM.
---@param name string
---@return boolean there it was
function plugins.remove(name)
  local plugin = by_name[name]
  if not plugin or plugin.off then return false end
  plugin:remove()
  return true
end


local loaded

--- The commands of plugins for the command line, by plugin.
---@return table<string, { summary: string, commands: table<string, cli.Command> }>
function plugins.commands()
  if not loaded and #sorted == 0 then plugins.load() end
  loaded = true
  local found = {}
  for _, plugin in ipairs(sorted) do
    if next(plugin.commands) then
      found[plugin.name] = {
        summary = plugin.manifest.summary or "commands of the plugin " .. plugin.name,
        commands = plugin.commands,
      }
    end
  end
  return found
end

return plugins
