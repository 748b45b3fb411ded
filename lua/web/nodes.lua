-- The processes that serve together. Each one renews a lease of its own every few seconds; who is
-- in the list without a lease is dead, and what it has left behind is for the living to clear up.
--
--   nodes        the list, as JSON: name -> number of workers; changes by compare-and-set
--   node:{name}  the lease
--
-- With the embedded store there is one process, and every other name is of one that is gone.
local change = require "web.change"
local hub = require "host.hub"
local json = require "host.json"
local log = require "host.log"
local store = require "host.store"
local time = require "host.time"

local nodes = { self = hub.node(), LEASE = 10, ROUND = 3 }

local LIST, LEASE = "nodes", "node:"
local FRESH = 1 -- seconds that an answer of `living` is good for

local known, known_at ---@type table<string, integer>|nil, number|nil
local beaten = false


-- Changes the list: fn(list) gives false when there is nothing to do.
local function update(fn)
  local _, message, code = change(LIST, function(list)
    list = list or {}
    if fn(list) ~= false then return list end
  end)
  if code then return nil, message, code end
  return true
end


local function read()
  local text, message, code = store.get(LIST)
  if code then return nil, message, code end
  return text and json.decode(text) or {}
end


-- Of the list, those with a lease; both tables.
local function look()
  local list, message, code = read()
  if not list then return nil, message, code end
  local living, dead = { [nodes.self] = hub.workers() }, {}
  for name, workers in pairs(list) do
    if name ~= nodes.self then
      local lease, problem, why
      if store.name ~= "embedded" then lease, problem, why = store.get(LEASE .. name) end
      if why then return nil, problem, why end
      if lease then living[name] = math.tointeger(workers) or 1 else dead[#dead + 1] = name end
    end
  end
  return living, dead
end


--- The nodes that live, and how many workers each has. Reads the store once a second at most.
---@return table<string, integer>|nil
---@return string|nil message
---@return string|nil code
function nodes.living()
  if known and time.monotonic() - known_at < FRESH then return known end
  local living, message, code = look()
  if not living then return nil, message, code end
  known, known_at = living, time.monotonic()
  return living
end


--- Prolongs this node's life, and tells how many there are.
---@return boolean|nil alive false: it was taken for dead meanwhile, and has come back
---@return string|nil message
---@return string|nil code
function nodes.beat()
  local lease, version, code = store.get(LEASE .. nodes.self)
  if code then return nil, version, code end
  local workers = hub.workers()
  local set, message
  set, message, code = store.set(LEASE .. nodes.self, tostring(workers), { ttl = nodes.LEASE })
  if not set then return nil, message, code end
  local ok
  ok, message, code = update(function(list)
    if list[nodes.self] == workers then return false end
    list[nodes.self] = workers
  end)
  if not ok then return nil, message, code end
  local returned = beaten and not lease
  -- A question to everybody, so that the others know of one more who will have to answer theirs.
  if not beaten or returned then hub.connections { limit = 1, nodes = true } end
  beaten = true
  return not returned
end


--- Those in the list who are dead; also counts the living, for questions to all of them.
---@return string[]|nil
---@return string|nil message
---@return string|nil code
function nodes.dead()
  local living, dead, code = look()
  if not living then return nil, dead, code end
  local count = 0
  for _ in pairs(living) do count = count + 1 end
  hub.set_nodes(count)
  known, known_at = living, time.monotonic()
  return dead
end


--- Takes a dead node out of the list, when it has left nothing behind any more.
---@param name string
function nodes.forget(name)
  if store.name ~= "embedded" then log.info("a node is gone", { node = name }) end
  return update(function(list)
    if list[name] == nil then return false end
    list[name] = nil
  end)
end

return nodes
