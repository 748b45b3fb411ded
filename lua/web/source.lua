-- Where an error is: the first file and line in a message whose source can be read, and the lines
-- around it.
local file = require "host.file"

local source = {}

local NOW = { now = true } -- what is wrong is what was saved last
local CONTEXT = 6 -- lines shown before and after the one that failed

---@class web.Place
---@field file string
---@field line? integer
---@field message string without the place
---@field excerpt? string


local function excerpt(wanted, text)
  local lines, number = {}, 0
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    if math.abs(number - wanted) <= CONTEXT then
      lines[#lines + 1] = ("%s %4d  %s"):format(number == wanted and ">" or " ", number, line)
    end
  end
  return table.concat(lines, "\n")
end


-- "name.lua:3: what" -> "what"; a message may begin with the file it passed through.
local function without_place(message, path, line)
  local from, to = message:find(("%s:%d: "):format(path, line), 1, true)
  return from and message:sub(to + 1) or message
end


local PATTERN = "([^%s:'\"]+%.%w+):(%d+)"


-- A file of the application by the path that an error tells, which comes with its folder: the
-- longest end of it that can be read.
local function find(path)
  local name = path
  while name do
    local text = name:find "^/" == nil and file.source(name, NOW)
    if text then return name, text end
    name = name:match "/(.*)$"
  end
  return path:match ".*(lua/.+)$" or path:match ".*(templates/.+)$" or path:match "[^/]+$"
end


local function place_at(path, line, message)
  local name, text = find(path)
  line = math.tointeger(tonumber(line))
  return {
    file = name, line = line, excerpt = text and excerpt(line, text),
    message = without_place(message, path, line),
  }
end


--- Finds the place of an error: the one that its message begins with, else the first in message and
--- traceback whose source can be read.
---@param message string
---@param traceback? string
---@return web.Place|nil
function source.place(message, traceback)
  local path, line = message:match("^" .. PATTERN)
  if path then return place_at(path, line, message) end
  for other, number in (message .. "\n" .. (traceback or "")):gmatch(PATTERN) do
    local place = place_at(other, number, message)
    if place.excerpt then return place end
  end
end


--- A load's error, message and traceback in one text, for people: { message, file, line, excerpt }.
---@param text string
---@return { message: string, file?: string, line?: integer, excerpt?: string, trace?: string }
function source.explain(text)
  local message, trace = text:match "^(.-)\nstack traceback:\n(.*)$"
  message = message or text
  local name, rest = message:match "^([%w_/.-]+%.lua): (.*)$" -- a load that knows no line
  if not name then name, rest = message:match "^([%w_/.-]+%.sql): (.*)$" end
  if name then name = find(name) end
  local place = name and { file = name, message = rest }
    or source.place(message, trace) or { message = message }
  place.trace = trace
  return place
end

return source
