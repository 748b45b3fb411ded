-- Runs busted inside the real binary, so that specs can require host.* and wait:
--   lunacast lua spec/support/busted.lua [busted's options] FILE...
-- Servers and other processes that a spec started and forgot are killed at the end.
package.path = "./?.lua;./lua/?.lua;./lua/?/init.lua;" .. package.path

-- Loaded before busted, which forgets what a spec file loads: one loop, one list of processes.
local process = require "host.test.process"

-- busted ends the process by itself; here it is the task that must end, in order.
local ended = setmetatable({}, { __tostring = function() return "busted has ended" end })
os.exit = function(code)
  ended.code = code == true and 0 or code == false and 1 or code or 0
  error(ended, 0)
end

local output = false
for _, word in ipairs(arg) do output = output or word:find("^%-o") or word:find("^%-%-output") end
if not output then table.insert(arg, 1, "--output=TAP") end

arg[0] = "spec/support/busted.lua"
local ok, err = pcall(function()
  require "busted.runner" { standalone = false }
  os.exit(0)
end)

process.kill_all()

if not ok and err ~= ended then
  io.stderr:write(tostring(err), "\n")
  return 1
end
return ended.code
