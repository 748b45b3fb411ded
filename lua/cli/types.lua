-- The types for lua-language-server: the annotations of host.* (lua/meta) and of the framework
-- (lua/web), out of the binary, so that an editor knows the version that runs.
local file = require "host.file"
local files = require "cli.files"

local FOLDERS = { "lua/meta", "lua/web", "lua/web/template", "lua/web/plugins", "lua/host" }


--- Writes them below a folder.
---@param folder string
---@return integer count
return function(folder)
  local count = 0
  for _, from in ipairs(FOLDERS) do
    for _, name in ipairs(file.list(from)) do
      local text = name:find "%.lua$" and file.source(from .. "/" .. name)
      if text then
        files.write(folder .. "/" .. from:gsub("^lua/", "") .. "/" .. name, text)
        count = count + 1
      end
    end
  end
  return count
end
