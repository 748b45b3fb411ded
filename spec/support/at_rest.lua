-- A number of a server that is told once a second, such as of its tasks, when it has come to rest.
--   local resident = at_rest(function() return app:metric 'lunacast_tasks{worker="0"}' end)
local wait = require "spec.support.wait"

local SAME <const> = 2.5 -- seconds


---@param look fun(): number|nil nil: it was not told yet
---@return number
return function(look)
  local last, since
  wait.till(function()
    local now = look()
    if now ~= last then last, since = now, wait.now() end
    return last ~= nil and wait.now() - since > SAME
  end, "a number to rest")
  return last
end
