-- Help: all commands, or one with its options and examples.
local commands = require "cli.commands"
local version = require("host.command").version

local help = {}

local EVERYWHERE = {
  { "app", "DIR", help = "the application's folder (default: here)" },
  { "data", "DIR", help = "its data folder (default: DIR/data)" },
  { "set", "KEY=VALUE", help = "any setting, again for more" },
}

local function two_columns(rows, out)
  local width = 0
  for _, row in ipairs(rows) do width = math.max(width, #row[1]) end
  for _, row in ipairs(rows) do
    out[#out + 1] = ("  %-" .. width .. "s  %s"):format(row[1], row[2])
  end
end


local function option_rows(list)
  local rows = {}
  for _, option in ipairs(list) do
    local value = option[2] and " " .. option[2] or ""
    rows[#rows + 1] = { "--" .. option[1] .. value, option.help or "" }
  end
  return rows
end


local function command_rows(names, command_of)
  local rows = {}
  for _, name in ipairs(names) do
    local ok, command = pcall(command_of, name)
    local usage = ok and command.usage or name
    rows[#rows + 1] = { "lunacast " .. usage, ok and command.summary or "(can't be loaded)" }
  end
  return rows
end


--- The help of everything.
---@return string
function help.all()
  local out = { ("lunacast %s - a realtime server that you script"):format(version), "" }
  two_columns(command_rows(commands.names(), function(name)
    return (commands.find { name })
  end), out)
  for _, line in ipairs {
    "  lunacast --version", "",
    "`lunacast COMMAND --help` shows a command's options and examples.",
    "Settings: defaults < DIR/config.lua < environment (LUNACAST_MAX_FPS, REDIS_URL) < options.",
    "Exit codes: 0 done, 1 it did not work, 2 the command line is wrong.", "",
    "examples:",
    "  lunacast new shop && lunacast dev shop",
    "  lunacast run shop --listen :8080 --set redis.url=redis://localhost",
    "  lunacast check shop && lunacast test shop",
    "  lunacast status --app shop",
  } do
    out[#out + 1] = line
  end
  return table.concat(out, "\n") .. "\n"
end


local function examples(command, out)
  if not command.examples then return end
  out[#out + 1] = "\nexamples:"
  for _, example in ipairs(command.examples) do out[#out + 1] = "  " .. example end
end


--- The help of one command.
---@param command cli.Command
---@param title string
---@return string
function help.one(command, title)
  local out = { ("lunacast %s - %s"):format(title, command.summary) }
  if command.about then out[#out + 1] = "\n" .. command.about:gsub("%s+$", "") end
  out[#out + 1] = ""
  if command.commands then
    two_columns(command_rows(commands.below(command), function(name)
      return command.commands[name]
    end), out)
  end
  if command.run or command.native then
    out[#out + 1] = "usage: lunacast " .. (command.usage or title)
  end
  local rows = option_rows(command.options or {})
  if command.lists then rows[#rows + 1] = { "--json", "JSON instead of text" } end
  if not command.native then
    for _, row in ipairs(option_rows(EVERYWHERE)) do rows[#rows + 1] = row end
  end
  out[#out + 1] = "\noptions:"
  two_columns(rows, out)
  examples(command, out)
  return table.concat(out, "\n") .. "\n"
end

return help
