-- An action of lua/auth/admin.lua: by the server where one runs, since it holds the embedded store
-- and its other nodes must hear of it; else here.
local errors = require "cli.errors"
local server = require "cli.server"


---@param call cli.Call
---@param action string
---@param args? table
---@return table
return function(call, action, args)
  args = args or {}
  if server.runs() then return server.ask("POST", "/auth/" .. action, { json = args }) end
  call:open_store()
  local ok, result = pcall(require("auth.admin")[action], args)
  if ok then return result end
  local message = type(result) == "table" and result.message or tostring(result)
  errors.fail("%s", message)
end
