-- From the words of a command line to what its command declares: positional words, and options with
-- or without a value, anywhere between them; "--" ends the options.
--   options = { { "args", "FILE", "the template's arguments, JSON" }, { "watch", help = ... } }
local errors = require "cli.errors"
local nearest = require "cli.nearest"

local options = {}

---@class cli.Option
---@field [1] string its name, without dashes
---@field [2]? string what its value is, for people; absent: it takes none
---@field help? string
---@field many? boolean may be given more than once: the value is a list


local function known(command)
  local byname, names = {}, {}
  for _, option in ipairs(command.options or {}) do
    byname[option[1]] = option
    names[#names + 1] = "--" .. option[1]
  end
  if command.lists then
    byname.json = { "json" }
    names[#names + 1] = "--json"
  end
  names[#names + 1] = "--help"
  return byname, names
end


local function unknown(title, flag, names)
  local near = nearest(flag, names)
  errors.usage('%s has no option "%s"%s; `lunacast %s --help` shows all', title, flag,
    near and ('; did you mean "%s"?'):format(near) or "", title)
end


local function store(found, option, value)
  local name = option[1]
  if not option.many then
    found[name] = value
    return
  end
  found[name] = found[name] or {}
  table.insert(found[name], value)
end


-- One option at list[i]; the index of the last word that it took.
local function take(command, title, list, i, found)
  local byname, names = known(command)
  local name, value = list[i]:match "^%-%-([^=]+)=?(.*)$"
  local option = name and byname[name]
  if not option then unknown(title, list[i]:match "^[^=]*", names) end
  local given = list[i]:find("=", 1, true)
  if not option[2] then
    if given then errors.usage("--%s takes no value", name) end
    store(found, option, true)
    return i
  end
  if not given then
    i = i + 1
    value = list[i]
    if not value then
      errors.usage("--%s lacks its value: --%s %s", name, name, option[2])
    end
  end
  store(found, option, value)
  return i
end


--- Splits the words of a command line.
---@param command cli.Command
---@param title string "token issue"
---@param list string[]
---@return string[] words
---@return table<string, any> options
function options.parse(command, title, list)
  if command.raw then return list, {} end
  local words, found, i = {}, {}, 1
  while i <= #list do
    local word = list[i]
    if word == "--" then
      table.move(list, i + 1, #list, #words + 1, words)
      break
    elseif word:match(command.dashed and "^%-%-" or "^%-.") then
      i = take(command, title, list, i, found)
    else
      words[#words + 1] = word
    end
    i = i + 1
  end
  return words, found
end


--- Are there as many words as the command wants?
---@param command cli.Command
---@param title string
---@param words string[]
function options.count(command, title, words)
  local wanted = command.words
  if command.raw or not wanted then
    if not command.raw and #words > 0 then
      errors.usage('"%s" is too much; usage: lunacast %s', words[1], command.usage or title)
    end
    return
  end
  if #words < wanted[1] or #words > (wanted[2] or wanted[1]) then
    errors.usage("%s; usage: lunacast %s",
      #words < wanted[1] and "a word is missing" or ('"%s" is too much'):format(words[#words]),
      command.usage or title)
  end
end

return options
