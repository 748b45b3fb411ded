-- The command line, for every word that main.c does not know itself: a trusted script with all of
-- Lua, in the application's folder and with its settings.
--
--   words -> commands.find -> options.parse -> command.run(call) -> exit code
--
-- What must never happen: a traceback for what a person mistyped; exit code 0 after a failure.
local Call = require "cli.call"
local commands = require "cli.commands"
local errors = require "cli.errors"
local help = require "cli.help"
local options = require "cli.options"

local cli = {}


local function run(words)
  local command, title, rest = commands.find(words)
  if not command.run then
    errors.usage("%s wants one more word: %s; `lunacast %s --help` shows how", title,
      table.concat(commands.below(command), ", "), title)
  end
  local given, found = options.parse(command, title, rest)
  options.count(command, title, given)
  return command.run(Call(title, given, found)) or 0
end


local function show_help(words)
  local wanted = {}
  for _, word in ipairs(words) do
    if word:find "^%-" then break end
    wanted[#wanted + 1] = word
  end
  if #wanted == 0 then
    io.stdout:write(help.all())
    return 0
  end
  local command, title = commands.find(wanted)
  io.stdout:write(help.one(command, title))
  return 0
end


local function start(words)
  if words[1] == "help" then return show_help(table.move(words, 2, #words, 1, {})) end
  if words[1] == "" then
    io.stderr:write(help.all())
    return 2
  end
  return run(words)
end


local function trace(err)
  if errors.is(err) then return err end
  return debug.traceback(tostring(err), 2)
end


--- Runs a command; its exit code.
---@param ... string
---@return integer
function cli.main(...)
  local ok, result = xpcall(start, trace, { ... })
  local written, problem = pcall(errors.flush, io.stdout)
  if ok and not written then ok, result = false, problem end
  if ok then return result end
  io.stderr:write("lunacast: ", tostring(result), "\n")
  return errors.is(result) and result.code or 1
end

return cli
