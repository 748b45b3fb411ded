-- How a command ends early: with a line for the person at the terminal and an exit code for the
-- program around it. 1: it did not work; 2: the command line is wrong.
local errors = {}

---@class cli.Stop
---@field code integer
---@field message string
local Stop = {}
Stop.__index = Stop
Stop.__tostring = function(stop) return stop.message end


---@return boolean
function errors.is(value)
  return getmetatable(value) == Stop
end


--- It did not work: what was wrong, where, and the next step.
---@param message string
function errors.fail(message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  error(setmetatable({ code = 1, message = message }, Stop), 0)
end


--- The command line is wrong.
---@param message string
function errors.usage(message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  error(setmetatable({ code = 2, message = message }, Stop), 0)
end

local EPIPE = 32


--- Sends what was written; ends the command when it can't be.
---@param out file*
---@return boolean wanted false: the reader (`| head -1`) has had enough
function errors.flush(out)
  local ok, message, number = out:flush()
  if ok then return true end
  if number ~= EPIPE then errors.fail("the output can't be written: %s", message) end
  return false
end

return errors
