-- The application of the folder, loaded as the server would load it, without serving it.
local errors = require "cli.errors"
local host = require "host.command"
local json = require "host.json"
local source = require "web.source"
local trouble = require "cli.trouble"

local application = {}


--- What is in it (lua/web/inventory.lua), or nil and what is wrong.
---@return table|nil
---@return table|nil wrong { message, file, line, excerpt }
function application.try()
  local text, message = host.application()
  if not text then return nil, source.explain(message) end
  return json.decode(text)
end


--- The same; ends the command when it does not load.
---@return table
function application.load()
  local list, wrong = application.try()
  if not list then errors.fail("the application does not load: %s", trouble(wrong)) end
  return list
end


--- Does this file lie in the application's folder, and not in the binary?
---@param path string
---@return boolean
function application.is_own(path)
  local f = io.open(host.folder .. "/" .. path, "rb")
  if f then f:close() end
  return f ~= nil
end

return application
