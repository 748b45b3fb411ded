-- What would happen at first use happens here, while the VM is built: filters, middleware and
-- templates are read (read), and all that is wrong with them is found (problems, all): files that
-- do not load or return something else, templates that do not compile, with what they extend and
-- include and the filters they name.
local file = require "host.file"
local loader = require "web.loader"
local templates = require "web.templates"

local verify = {}

---@class web.Problem
---@field file string
---@field line? integer
---@field column? integer
---@field message string

local OWN = { own = true } -- what comes with lunacast has specs
local DEPTH = 12
local FILTER = { what = "a filter file", ["function"] = true, table = true }
local FOLDERS = {
  { "filters", FILTER }, { "filters.tests", FILTER }, { "filters.functions", FILTER },
  { "middleware", { what = "a middleware file", ["function"] = true } },
}


local function of_error(path, err)
  local text = tostring(err)
  local line, message = text:match "^[^\n]-%.lua:(%d+): ([^\n]*)"
  return { file = path, line = math.tointeger(tonumber(line)), message = message or text }
end


-- Each file of the application in FOLDERS, required: visit(module, wanted, ok, value or error).
local function each_file(visit)
  for _, folder in ipairs(FOLDERS) do
    for _, module in ipairs(loader.modules(folder[1], OWN)) do
      visit(module, folder[2], pcall(require, module))
    end
  end
end


local function files(found)
  each_file(function(module, wanted, ok, value)
    local path = loader.path(module)
    if not ok then
      found[#found + 1] = of_error(path, value)
    elseif not wanted[type(value)] then
      found[#found + 1] = { file = path,
        message = ("%s returns a function, it returned a %s"):format(wanted.what, type(value)) }
    end
  end)
end


local function of_template(err)
  return { file = "templates/" .. err.name, line = err.line, column = err.column,
    message = err.message }
end


--- All that is wrong.
---@return web.Problem[]
function verify.problems()
  local found = {}
  files(found)
  for _, name in ipairs(templates.names(OWN)) do
    local err = templates.environment():check(name)
    if err then found[#found + 1] = of_template(err) end
  end
  return found
end


-- All Lua files of the application below a folder, so that one that is required at first use is
-- that of its own set of files (file.source keeps what it has read for this VM).
local function read_scripts(folder, depth)
  for _, name in ipairs(depth > 0 and file.list(folder, OWN) or {}) do
    local path = folder .. "/" .. name
    if name:find "%.lua$" then
      file.source(path)
    elseif not name:find "%." then
      pcall(read_scripts, path, depth - 1) -- a file without an ending is none of ours
    end
  end
end


--- Reads filters, middleware, templates and scripts; what is wrong shows later, in `all`, or where
--- it is used.
function verify.read()
  read_scripts("lua", DEPTH)
  each_file(function() end)
  templates.read()
end


--- Raises what is wrong first: for a load, so that it refuses the files.
function verify.all()
  local problem = verify.problems()[1]
  if not problem then return end
  error(("%s:%s %s"):format(problem.file, problem.line and problem.line .. ":" or "",
    problem.message), 0)
end

return verify
