-- A new application, or a piece of one. Nothing that exists is ever written over.
local files = require "cli.files"
local nearest = require "cli.nearest"
local pieces = require "cli.scaffold.pieces"
local write_types = require "cli.types"

local TEMPLATES = { "pictures", "pubsub", "gateway" }
local COMMON = require "cli.scaffold.common"


local function fill(text, name)
  local title = name:gsub("^%l", string.upper):gsub("[_.]", "-")
  return (text:gsub("@NAME@", name):gsub("@TITLE@", title))
end


-- What to write, by path; ends the command when one of them is there.
local function plan(call, folder, list, name, into)
  for path, text in pairs(list) do
    path = (folder .. "/" .. fill(path, name)):gsub("^%./", "")
    if files.exists(path) then call:fail("%s is there already; nothing was written", path) end
    into[path] = fill(text, name)
  end
  return into
end


local function write(call, found)
  local paths = {}
  for path in pairs(found) do paths[#paths + 1] = path end
  table.sort(paths)
  for _, path in ipairs(paths) do
    files.write(path, found[path])
    call:say("%s", path)
  end
end


local function new_piece(call, kind, name)
  if not name:find "^%a[%w_-]*$" then
    call:usage('a name is letters, digits, _ and -, beginning with a letter; got "%s"', name)
  end
  local piece = pieces[kind]
  write(call, plan(call, call.folder, piece.files, name, {}))
  call:note("%s", fill(piece.next, name))
end


local function unknown(call, what, word, known)
  local near = nearest(word, known)
  call:usage('there is no %s "%s"; %s', what, word, near and ('did you mean "%s"?'):format(near)
    or "there are " .. table.concat(known, ", "))
end


local function template_of(call)
  local wanted = call.options.template or TEMPLATES[1]
  for _, name in ipairs(TEMPLATES) do
    if name == wanted then return require("cli.scaffold." .. name) end
  end
  unknown(call, "template", wanted, TEMPLATES)
end


local function new_application(call, folder)
  folder = folder:gsub("(.)/+$", "%1")
  local name = folder:match "([^/]+)$" or "app"
  if name == "." or name == ".." then name = "app" end
  local template = template_of(call)
  local found = plan(call, folder, COMMON, name, {})
  plan(call, folder, template, name, found)
  files.folder(folder)
  write(call, found)
  write_types(folder .. "/.lunacast/types")
  call:note("next: lunacast dev %s", folder)
end


return {
  summary = "a new application, or a piece of one",
  usage = "new DIR [--template pictures|pubsub|gateway] | new KIND NAME",
  about = [[
`new DIR` makes an application that runs, with a spec that passes, and the types for
lua-language-server. `new KIND NAME` adds one file and its spec to the application of this folder
(or --app DIR); KIND is route, filter, middleware, command or plugin. Nothing is written over.]],
  words = { 1, 2 },
  options = {
    { "template", "NAME", help = "pictures (default), pubsub or gateway" },
  },
  examples = {
    "lunacast new shop && lunacast dev shop",
    "lunacast new chat --template pubsub",
    "lunacast new route orders --app shop",
  },
  run = function(call)
    local first, second = call.words[1], call.words[2]
    if pieces[first] then
      if not second then call:usage("a %s needs a name: lunacast new %s NAME", first, first) end
      return new_piece(call, first, second)
    end
    if second then
      local kinds = {}
      for kind in pairs(pieces) do kinds[#kinds + 1] = kind end
      table.sort(kinds)
      unknown(call, "kind", first, kinds)
    end
    if first == "" then call:usage "a folder has a name" end
    new_application(call, first)
  end,
}
