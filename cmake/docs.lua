-- Prints the documents that are made of the program itself:
--   lunacast lua cmake/docs.lua reference           docs/reference.md, from the annotations
--   lunacast lua cmake/docs.lua commands BINARY     docs/command-line.md, from `lunacast help`
-- A spec compares both with what lies in docs/.
local process = require "host.process"
local what, binary = ...

-- What applications use, in the order of the page; the rest of lua/web is the framework's own.
local HOST = {
  "hub", "store", "sql", "redis", "http", "task", "event", "time", "log", "metrics", "config",
  "file", "json", "jwt", "jwk", "crypto", "unicode", "regex", "zone",
}
local WEB = {
  { "web", "web/response.lua", "web/errors.lua", "web/static.lua", "web/render.lua",
    "web/escape.lua", "web/sse.lua", "web/proxy.lua", "web/init.lua" },
  { "routes and files of an application", "meta/web.lua", "meta/ws.lua" },
  { "the request", "web/request.lua" },
  { "a WebSocket", "web/ws.lua" },
  { "a plugin", "web/plugins/object.lua" },
  { "web.schema", "web/schema.lua" }, { "web.topics", "web/topics.lua" },
  { "web.presence", "web/presence.lua" }, { "web.hooks", "web/hooks.lua" },
  { "web.listen", "web/listen.lua" }, { "web.cache", "web/cache.lua" },
  { "web.limiter", "web/limiter.lua" }, { "web.lease", "web/lease.lua" },
  { "web.change", "web/change.lua" },
  { "web.ask", "web/ask.lua" }, { "web.health", "web/health.lua" },
  { "web.etag", "web/etag.lua" }, { "web.httpdate", "web/httpdate.lua" },
}


local function lines_of(path)
  local file = assert(io.open(path, "rb"))
  local list = {}
  for line in file:lines() do list[#list + 1] = line end
  file:close()
  return list
end


-- "string|nil the rest" -> type, rest: a type ends at a space outside of brackets that follows no
-- comma or colon.
local function split_type(text)
  local depth, last = 0, ""
  for i = 1, #text do
    local c = text:sub(i, i)
    if c:find "[%(%[{<]" then depth = depth + 1 end
    if c:find "[%)%]}>]" then depth = depth - 1 end
    if c == " " and depth <= 0 and not last:find "[,:]" then
      return text:sub(1, i - 1), text:sub(i + 1)
    end
    last = c
  end
  return text, ""
end


-- The comment above something: its text, and its tags with their own text joined.
local function parse_comment(comment)
  local text, tags = {}, {}
  for _, line in ipairs(comment) do
    local tag, rest = line:match "^%-%-%-@(%a+)%s*(.*)$"
    local more = line:match "^%-%-%-%s?(.*)$"
    if tag then
      tags[#tags + 1] = { tag = tag, text = rest }
    elseif #tags > 0 then
      tags[#tags].text = tags[#tags].text .. " " .. more
    else
      text[#text + 1] = more
    end
  end
  return table.concat(text, " "), tags
end


local function named(text)
  local name, rest = text:match "^(%S+)%s+(.*)$"
  if not name then name, rest = text, "" end
  local type_name, about = split_type(rest)
  return ("- `%s` `%s`%s"):format(name, type_name, about ~= "" and ": " .. about or "")
end


local function returned(text)
  local type_name, about = split_type(text)
  return ("- returns `%s`%s"):format(type_name, about ~= "" and " " .. about or "")
end


-- One entry of the page; nil where there is nothing for readers.
local function entry(title, comment)
  local text, tags = parse_comment(comment)
  local out = { ("#### `%s`"):format(title), "" }
  if text ~= "" then out[#out + 1] = text .. "\n" end
  local rows = {}
  for _, tag in ipairs(tags) do
    local hidden = tag.tag == "field" and tag.text:find "^package "
    if (tag.tag == "param" or tag.tag == "field") and not hidden then
      rows[#rows + 1] = named(tag.text)
    end
    if tag.tag == "return" then rows[#rows + 1] = returned(tag.text) end
    if tag.tag == "type" then rows[#rows + 1] = ("- `%s`"):format(tag.text) end
    if tag.tag == "package" then return nil end
  end
  if #rows > 0 then out[#out + 1] = table.concat(rows, "\n") .. "\n" end
  return table.concat(out, "\n")
end


local function first(tags, name)
  for _, tag in ipairs(tags) do
    if tag.tag == name then return tag.text end
  end
end


-- What stands below a comment, as a title: a function of the module, or a class of the comment.
local function title_of(line, comment, path)
  local name, args = line:match "^function ([%w_.:]+)%((.-)%)"
  if name then return ("%s(%s)"):format(name, args) end
  args = line:match "^return function%((.-)%)"
  if args then return ("%s(%s)"):format(path:match "([%w_]+)%.lua$", args) end
  name = line:match "^([%w_]+%.[%w_]+) = "
  if name and name:find "^response%." then return name end
  local _, tags = parse_comment(comment)
  return (first(tags, "class") or first(tags, "alias"))
end


-- `require "web"` is made of several modules, under names of its own; nil: it has no such function.
local function name_in_web(title)
  local module, name, rest = title:match "^(%l+)[.]([%l_]+)(.*)$"
  if module == "response" or module == "errors" and name:find "^throw" then
    return "web." .. name .. rest
  end
  if module == "sse" or module == "proxy" then
    return (name == "response" or name == "proxy") and "web." .. module .. rest or nil
  end
  if module == "errors" then return nil end
  local file, args = title:match "^(%l+)(%(.*)$"
  return file and ("web." .. (file == "static" and "file" or file) .. args) or title
end


-- The comment that a file opens with, up to its first empty line.
local function opening(list)
  local out = {}
  for i, line in ipairs(list) do
    local text = line:match "^%-%- (.+)$"
    if text and not text:find "^ " then
      out[#out + 1] = text
    elseif #out > 0 or i > 3 then
      break
    end
  end
  return table.concat(out, " ")
end


local function entries_of(path, in_web, out)
  local list, comment = lines_of(path), {}
  for _, line in ipairs(list) do
    if line:find "^%-%-%-" then
      local said = not line:find "^%-%-%-@meta" and not line:find "^%-%-%-%-"
      if said then comment[#comment + 1] = line end
    elseif #comment > 0 then
      local title = title_of(line, comment, path)
      if title and in_web then title = name_in_web(title) end
      if title then out[#out + 1] = entry(title, comment) end
      comment = {}
    end
  end
  return list
end


local function section(title, paths, out)
  out[#out + 1] = ("## %s\n"):format(title)
  local place = #out + 1
  for i, path in ipairs(paths) do
    local list = entries_of("lua/" .. path, title == 'require "web"', out)
    local intro = i == 1 and opening(list) or ""
    if intro ~= "" then table.insert(out, place, intro .. "\n") end
  end
end


local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end


local function reference()
  local out = { [[
# Reference

All that scripts call, from the annotations in lua/meta and lua/web: `lunacast lua cmake/docs.lua
reference` prints this page, and a spec compares. Editors have the same by `lunacast types`. `name?`
may be absent; what may fail in the world returns nil, a message for people, and a code.
]] }
  for _, one in ipairs(WEB) do
    section(one[1]:find "^web" and ('require "%s"'):format(one[1]) or one[1],
      { table.unpack(one, 2) }, out)
  end
  for _, name in ipairs(HOST) do
    local path = exists("lua/meta/" .. name .. ".lua") and "meta/" or "host/"
    section(('require "host.%s"'):format(name), { path .. name .. ".lua" }, out)
  end
  return (table.concat(out, "\n"):gsub("%s+$", "\n"))
end


local function help(...)
  local handle, message = process.start(binary, { "help", ... }, {}, nil)
  if not handle then error(message, 0) end
  local text, time = "", require "host.time"
  repeat
    local out = handle:take()
    text = text .. out
    local code, _, open = handle:status()
    if not code or open then time.sleep(0.01) end
  until code and not open
  text = text .. handle:take()
  handle:close()
  return text
end


local function commands()
  local all = help()
  local out = { [[
# The command line

What `lunacast help` says, printed by `lunacast lua cmake/docs.lua commands lunacast`; a spec
compares. A command looks for its application in `--app DIR` or this folder. Those that ask a
running server do so by its control socket, `<data>/control.sock`: they are for the user that the
server runs as.

```
]] .. all .. "```" }
  local seen = {}
  for name in all:gmatch "\n  lunacast (%l+)" do
    if not seen[name] and name ~= "help" then
      seen[name] = true
      out[#out + 1] = ("## %s\n\n```\n%s```"):format(name, help(name))
    end
  end
  return table.concat(out, "\n\n") .. "\n"
end

io.write(what == "commands" and commands() or reference())
