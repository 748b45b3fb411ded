-- What a command's `run` gets: its words and options, the application's folder, and the ways to
-- answer. A list is a table for people, and JSON with --json; what is not the answer itself (hints,
-- progress) goes to stderr, so that a pipe gets the answer alone.
local errors = require "cli.errors"
local host = require "host.command"
local json = require "host.json"

local Call = {}
Call.__index = Call

---@class cli.Call
---@field title string "token issue"
---@field words string[]
---@field options table<string, any>
---@field json boolean
---@field folder string the application's folder
---@field data string its data folder
---@field out file* where answers go


local function cell(value)
  if value == nil or value == json.null then return "-" end
  if type(value) == "table" then
    local parts = {}
    for i, item in ipairs(value) do parts[i] = tostring(item) end
    return #parts > 0 and table.concat(parts, ", ") or "-"
  end
  return (tostring(value):gsub("[%c]", " "))
end


local function widths(rows, columns)
  local found = {}
  for i, column in ipairs(columns) do
    found[i] = utf8.len(column) or #column
    for _, row in ipairs(rows) do
      local text = cell(row[column])
      found[i] = math.max(found[i], utf8.len(text) or #text)
    end
  end
  return found
end


local function line(row, columns, wide, read)
  local parts = {}
  for i, column in ipairs(columns) do
    local text = read(row, column)
    parts[i] = text .. (" "):rep(wide[i] - (utf8.len(text) or #text))
  end
  return (table.concat(parts, "  "):gsub("%s+$", "")) .. "\n"
end


--- Prints a list of records.
---@param rows table[]
---@param columns string[] the fields that people see, in this order; JSON has all fields
---@param none? string what to say where there is none
function Call:list(rows, columns, none)
  if self.json then return self:record(json.array(rows)) end
  if #rows == 0 then
    io.stderr:write(none or "none", "\n")
    return
  end
  local wide = widths(rows, columns)
  self.out:write(line(columns, columns, wide, function(_, column)
    return column:upper():gsub("_", " ")
  end))
  for _, row in ipairs(rows) do
    self.out:write(line(row, columns, wide, function(r, column) return cell(r[column]) end))
  end
end


--- Prints one value as JSON.
---@param value any
function Call:record(value)
  self.out:write(json.encode(value, { pretty = true, sort = true }), "\n")
end


--- Prints "name  value" lines, or the record as JSON with --json.
---@param record table
---@param fields string[] what people see, in this order
function Call:fields(record, fields)
  if self.json then return self:record(record) end
  local width = 0
  for _, name in ipairs(fields) do width = math.max(width, #name) end
  for _, name in ipairs(fields) do
    local value = cell(record[name])
    self.out:write(("%-" .. width .. "s  %s\n"):format((name:gsub("_", " ")), value))
  end
end


--- A line of the answer.
function Call:say(text, ...)
  self.out:write(select("#", ...) > 0 and text:format(...) or text, "\n")
end


--- A line for the person, not for the pipe.
function Call:note(text, ...)
  self.out:flush() -- in the order in which it was said, where both go to one place
  io.stderr:write(select("#", ...) > 0 and text:format(...) or text, "\n")
end


--- It did not work: ends the command with exit code 1. Say the next step.
function Call:fail(message, ...) -- luacheck: ignore 212
  errors.fail(message, ...)
end


--- The command line is wrong: ends the command with exit code 2.
function Call:usage(message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  errors.usage("%s; `lunacast %s --help` shows how", message, self.title)
end


--- Makes host.store usable: Redis, or the embedded store while no server holds it.
function Call:open_store() -- luacheck: ignore 212
  local ok, message = host.open_store()
  if not ok then errors.fail("%s", message) end
end


---@return cli.Call
return function(title, words, options)
  return setmetatable({
    title = title, words = words, options = options, json = options.json == true,
    folder = host.folder, data = host.data, out = io.stdout,
  }, Call)
end
