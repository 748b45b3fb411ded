-- The commands: lua/commands/<name>.lua of the framework and of the application, and those of its
-- plugins (`lunacast <plugin> <command>`). A file returns
--   { summary = , usage = , examples = { ... }, options = { ... }, run = function(call) ... end }
-- or, with `commands = { issue = { ... }, ... }`, a family of such.
local errors = require "cli.errors"
local loader = require "web.loader"
local nearest = require "cli.nearest"

local commands = {}

---@class cli.Command
---@field summary string one line
---@field usage? string "render TEMPLATE [--args FILE]"
---@field about? string more than a line, for its help
---@field examples? string[]
---@field options? cli.Option[]
---@field words? integer[] how many words it takes: { least, most }; none when absent
---@field lists? boolean it takes --json
---@field dashed? boolean its words may begin with a dash, as one key's id in 64 does
---@field raw? boolean it gets its words as they are, options too
---@field native? boolean done by main.c: here for help alone
---@field run? fun(call: cli.Call): integer|nil the exit code, 0 when absent
---@field commands? table<string, cli.Command>


local function check(name, command, origin)
  if type(command) ~= "table" or type(command.summary) ~= "string" then
    errors.fail("%s: a command is a table with a summary, got a %s", origin, type(command))
  end
  if not (command.run or command.commands or command.native) then
    errors.fail("%s: the command %s has no function `run`", origin, name)
  end
  return command
end


local function load(name)
  local module = "commands." .. name
  local ok, value = pcall(require, module)
  if not ok then errors.fail("%s: %s", loader.path(module), tostring(value)) end
  return check(name, value, loader.path(module))
end


-- The commands of plugins, by plugin: { name = { commands = { ... } } }; none without the module.
local function of_plugins()
  local ok, plugins = pcall(require, "web.plugins")
  if not ok or type(plugins) ~= "table" or not plugins.commands then return {} end
  local worked, found = pcall(plugins.commands)
  if not worked then return {}, tostring(found) end
  return found
end


--- The names of all commands, sorted.
---@return string[]
function commands.names()
  local names = {}
  for _, module in ipairs(loader.modules "commands") do
    names[#names + 1] = module:match "[^.]+$"
  end
  for name in pairs(of_plugins()) do names[#names + 1] = name end
  table.sort(names)
  return names
end


local function unknown(family, word, names, help)
  local near = nearest(word, names)
  errors.usage('there is no command "%s%s"%s; `lunacast %s` shows all', family, word,
    near and ('; did you mean "%s"?'):format(near) or "", help)
end


-- A command by its first word.
local function first(word)
  for _, module in ipairs(loader.modules "commands") do
    if module == "commands." .. word then return load(word) end
  end
  local plugins, trouble = of_plugins()
  local plugin = plugins[word]
  if plugin then return check(word, plugin, "plugins/" .. word) end
  if trouble then errors.fail("the plugins can't be loaded: %s", trouble) end
  unknown("", word, commands.names(), "help")
end


--- The names of a family's commands, sorted.
---@param family cli.Command
---@return string[]
function commands.below(family)
  local names = {}
  for name in pairs(family.commands or {}) do names[#names + 1] = name end
  table.sort(names)
  return names
end


--- Finds what the words name; they may go on behind it.
---@param words string[]
---@return cli.Command command
---@return string title "token issue"
---@return string[] rest the words behind
function commands.find(words)
  local command, title, used = first(words[1]), words[1], 1
  while command.commands and words[used + 1] and not words[used + 1]:find "^%-" do
    local word = words[used + 1]
    if not command.commands[word] then
      if command.run then break end
      unknown(title .. " ", word, commands.below(command), title .. " --help")
    end
    command, title, used = command.commands[word], title .. " " .. word, used + 1
  end
  return command, title, table.move(words, used + 1, #words, 1, {})
end

return commands
