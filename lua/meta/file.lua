---@meta host.file

--- The application's files, read-only: its folder, and below it the framework in the binary (a file
--- in the folder hides one of the same name). Paths are relative; none leaves the folder, and names
--- that begin with a dot are refused.
local file = {}

--- The contents of a file; waits.
---@param path string "templates/demo.svg"
---@param options? { limit?: integer } bytes, at most 16 MiB
---@return string|nil contents
---@return string|nil message
---@return string|nil code "absent", "too_large", "unreadable"
function file.read(path, options) end

--- What a file is; waits.
---@param path string
---@return { size: integer, mtime: number, type: "file", embedded: boolean }|nil
---@return string|nil message
---@return string|nil code "absent"
function file.stat(path) end

--- The text of a file of at most 1 MiB, at once: for the load and for error pages.
---@param path string
---@param options? { now?: boolean } now: as the disk has it, also when it was saved since these
--- scripts were loaded
---@return string|nil
function file.source(path, options) end

--- The names in a folder, sorted; empty where there is none; raises where it can't be read. Does not
--- wait.
---@param folder string "lua/routes"
---@param options? { own?: boolean } own: what lies in the application's folder alone
---@return string[]
function file.list(folder, options) end

return file
