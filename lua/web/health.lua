-- Checks of plugins for /health and /ready: is what the application leans on there?
--   health.add("mail", function() return true end)   -- or nil, message
local health = {}

local checks = {} ---@type { name: string, fn: fun(): boolean|nil, string|nil }[]


--- Adds a check; it may wait.
---@param name string
---@param fn fun(): boolean|nil, string|nil
---@return fun() undo
function health.add(name, fn)
  local check = { name = name, fn = fn }
  checks[#checks + 1] = check
  return function()
    for i = #checks, 1, -1 do
      if checks[i] == check then table.remove(checks, i) end
    end
  end
end


--- Asks all checks. What raises has failed.
---@return boolean well
---@return table<string, string>|nil report name -> "ok" or what is wrong; nil: there are no checks
function health.ask()
  if #checks == 0 then return true end
  local well, report = true, {}
  for _, check in ipairs(table.move(checks, 1, #checks, 1, {})) do
    local ok, fine, message = pcall(check.fn)
    local good = ok and fine
    report[check.name] = good and "ok" or tostring(ok and message or fine or "failed")
    well = well and good and true or false
  end
  return well, report
end

return health
