-- Keeps this node's lease, and clears up after nodes that have died: their members leave, their
-- users are gone after the grace, their handlers' streams end.
local hub = require "host.hub"
local log = require "host.log"
local nodes = require "web.nodes"
local presence = require "web.presence"
local sse = require "web.sse"
local time = require "host.time"
local users = require "web.users"

local RETRY = 0.5 -- seconds; the others take a node for dead whose first lease they miss twice


local function clear_up()
  for _, node in ipairs(nodes.dead() or {}) do
    if presence.clear(node, users.bury) then nodes.forget(node) end
  end
end


local function round()
  local alive, message, code = nodes.beat()
  if alive == nil then error(("%s (%s)"):format(message, code), 0) end
  if not alive then
    log.warn("this node was taken for dead; it tells anew who is here")
    hub.announce()
  end
  clear_up()
  local living = nodes.living()
  if living then sse.bury(living) end
end


return function()
  local failing = false
  while true do
    local ok, err = pcall(round)
    if not ok and not failing then
      log.warn("this node's lease can't be kept now", { error = tostring(err) })
    end
    failing = not ok
    time.sleep(failing and RETRY or nodes.ROUND)
  end
end
