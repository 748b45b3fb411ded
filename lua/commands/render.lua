local files = require "cli.files"
local is_object = require("web.check").is_object
local json = require "host.json"
local nearest = require "cli.nearest"
local plugins = require "web.plugins"
local templates = require "web.templates"


local function read(call, path)
  if path == "-" then return io.stdin:read "a" end
  local f, message = io.open(path, "rb")
  if not f then call:fail("%s", message) end
  local text = f:read "a"
  f:close()
  return text
end


local function object(call, path)
  local value, message = json.decode(read(call, path))
  if not is_object(value) then call:fail("%s: %s", path, message or "an object is expected") end
  return value
end


local function arguments(call)
  local args = call.options.args and object(call, call.options.args) or {}
  for _, pair in ipairs(call.options.arg or {}) do
    local name, text = pair:match "^([^=]+)=(.*)$"
    if not name then call:usage('--arg wants NAME=VALUE, got "%s"', pair) end
    local value = json.decode(text)
    args[name] = value == nil and text or value
  end
  return args
end


local function render(call, name, args)
  plugins.load() -- their filters, functions and templates
  local environment = templates.environment()
  if files.exists(call.folder .. "/templates/" .. name) then
    return environment:render(name, args)
  end
  if name ~= "-" and not files.exists(name) then
    local near = nearest(name, templates.names())
    call:fail("there is no template %s, and no file of this name%s", name,
      near and ("; did you mean %s?"):format(near) or "")
  end
  local text = read(call, name)
  local compiled, err = environment:compile(text, name:match "[^/]+$")
  if not compiled then return nil, err end
  return compiled(args)
end


return {
  summary = "render a template with arguments from a file, to stdout",
  usage = "render TEMPLATE [--args FILE] [--arg NAME=VALUE]",
  about = "TEMPLATE is a name below templates/, or any file; - reads stdin.",
  words = { 1 },
  options = {
    { "args", "FILE", help = "the arguments, a JSON object; -: stdin" },
    { "arg", "NAME=VALUE", help = "one more, JSON or text; again for more", many = true },
  },
  examples = {
    "lunacast render card.svg --args card.json > card.svg",
    "echo '{{ n | si }}' | lunacast render - --arg n=12345",
  },
  run = function(call)
    local text, err = render(call, call.words[1], arguments(call))
    if not text then call:fail("%s", tostring(err)) end
    call.out:write(text)
  end,
}
