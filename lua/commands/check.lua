-- Everything that can be known about an application without serving it: does it load as the server
-- would load it, do its filters and templates compile, and what in its Lua looks like a mistake.
local application = require "cli.application"
local file = require "host.file"
local host = require "host.command"
local lint = require "cli.lint"
local migrations = require "web.migrations"
local units = require "cli.units"

local OWN = { own = true }
local DEPTH = 12
local FOLDERS = { "lua", "plugins", "spec" }
local BUSTED = { "describe", "context", "it", "spec", "test", "pending", "before_each",
  "after_each", "setup", "teardown", "lazy_setup", "lazy_teardown", "strict_setup",
  "strict_teardown", "finally", "insulate", "expose", "randomize", "spy", "stub", "mock", "match",
  "arg", "io", "debug", "package", "dofile", "loadfile" }
local COMMAND = { "arg", "io", "debug", "package", "dofile", "loadfile" }


local function collect(folder, depth, found)
  local ok, names = pcall(file.list, folder, OWN)
  if not ok or depth == 0 then return found end
  for _, name in ipairs(names) do
    local path = folder .. "/" .. name
    if name:find "%.lua$" then
      found[#found + 1] = path
    elseif not name:find "%." then
      collect(path, depth - 1, found)
    end
  end
  return found
end


local function globals_of(path)
  if path:find "^spec/" or path:find "/spec/" then return BUSTED end
  if path:find "^lua/commands/" or path:find "^lua/cli/" then return COMMAND end
end


local function check_file(path, add)
  local text = file.source(path)
  if not text or text:find "^%-%-%-@meta" then return end
  local ok, message = load(text, "@" .. path, "t")
  if not ok then
    local line, what = message:match ":(%d+): (.*)$"
    return add("error", { file = path, line = math.tointeger(tonumber(line)),
      message = what or message })
  end
  for _, warning in ipairs(lint(text, globals_of(path))) do
    add("warning", { file = path, line = warning.line, message = warning.message })
  end
end


local function key_of(problem)
  return ("%s:%s"):format(problem.file, problem.line)
end


local function check_settings(add)
  local ok, message = host.check_settings()
  if not ok then add("error", { file = "config.lua", message = message }) end
end


local function check_migrations(add)
  local list, message = migrations.files()
  if list then return end
  local path, what = message:match "^([^:]+): (.*)$"
  add("error", { file = path, message = what or message })
end


-- The problems of all kinds, in the order of files and lines; of the same line errors win.
local function problems()
  local found, errors_at = {}, {}
  local function add(level, problem)
    if level == "error" and errors_at[key_of(problem)] then return end
    if level == "error" then errors_at[key_of(problem)] = true end
    problem.level = level
    found[#found + 1] = problem
  end
  local list, wrong = application.try()
  if not list then
    add("error", { file = wrong.file, line = wrong.line, message = wrong.message })
  else
    for _, problem in ipairs(list.problems) do add("error", problem) end
  end
  check_settings(add)
  check_migrations(add)
  for _, folder in ipairs(FOLDERS) do
    for _, path in ipairs(collect(folder, DEPTH, {})) do check_file(path, add) end
  end
  table.sort(found, function(a, b)
    if a.file ~= b.file then return (a.file or "") < (b.file or "") end
    return (a.line or 0) < (b.line or 0)
  end)
  return found, list
end


local function place(problem)
  local text = problem.file or "the application"
  if problem.line then text = text .. ":" .. problem.line end
  if problem.column then text = text .. ":" .. problem.column end
  return text
end


local function summary(list, errors, warnings)
  if errors + warnings > 0 then
    return ("%s, %s"):format(units.count(errors, "error"), units.count(warnings, "warning"))
  end
  return ("good: %d routes, %d templates, %d filters"):format(#list.routes, #list.templates,
    #list.filters)
end


return {
  summary = "load everything, compile all templates, look for mistakes; for CI",
  usage = "check [DIR] [--strict] [--json]",
  about = [[
Settings, routes, middleware, filters, hooks, plugins and templates as the server would load them,
the names of migrations, and in all Lua files: globals that nobody knows, locals that nobody reads.
Each line begins with file:line. Exit code 1 when there are errors (with --strict: or warnings).]],
  lists = true,
  options = { { "strict", help = "warnings count as errors" } },
  examples = { "lunacast check", "lunacast check shop --strict --json" },
  run = function(call)
    local found, list = problems()
    local count = { error = 0, warning = 0 }
    for _, problem in ipairs(found) do count[problem.level] = count[problem.level] + 1 end
    if call.json then
      call:list(found, {})
    else
      for _, problem in ipairs(found) do
        call:say("%s: %s: %s", place(problem), problem.level, problem.message)
      end
      call:note("%s", summary(list, count.error, count.warning))
    end
    return (count.error > 0 or call.options.strict and count.warning > 0) and 1 or 0
  end,
}
