-- Files that commands make.
local errors = require "cli.errors"

local files = {}


---@param path string
---@return boolean
function files.exists(path)
  local f = io.open(path, "rb")
  if f then f:close() end
  return f ~= nil
end


local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end


--- Makes a folder and those above it.
---@param path string
function files.folder(path)
  local mkdir <close> = assert(io.popen("mkdir -p -- " .. quote(path) .. " 2>&1"))
  local said = mkdir:read "a"
  if said ~= "" then
    errors.fail("the folder %s can't be made: %s", path, said:match ": ([^:]-)%s*$" or said)
  end
end


--- Writes a file, and the folders above it.
---@param path string
---@param text string
function files.write(path, text)
  local above = path:match "^(.*)/[^/]*$"
  local f, message = io.open(path, "wb")
  if not f and above then
    files.folder(above)
    f, message = io.open(path, "wb")
  end
  if not f then errors.fail("%s", message) end
  f:write(text)
  f:close()
end

return files
