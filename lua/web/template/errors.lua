-- Errors of templates: where, what, and what was probably meant.
--
-- Inside the engine an error is a raised table { message, at = position, limit = kind? }. It
-- becomes a TemplateError where it leaves the engine, when the template's source is at hand.
local errors = {}

---@class TemplateError
---@field message string   what is wrong, one line
---@field name string      the template
---@field line integer?    counted from 1
---@field column integer?  in characters, counted from 1
---@field excerpt string?  the source line and a caret below it
---@field limit string?    which limit was hit: steps, bytes, depth, ms, source, tokens
local Error = {}
Error.__index = Error
Error.__name = "TemplateError"
Error.__metatable = false

function Error:__tostring()
  local head = ("%s: %s"):format(self.name, self.message)
  if not self.line then return head end
  return ("%s:%d:%d: %s\n%s"):format(self.name, self.line, self.column, self.message, self.excerpt)
end

local EXCERPT_CHARACTERS <const> = 120
local MESSAGE_BYTES <const> = 500

--- Raises inside the engine.
---@param at integer?  byte offset in the source, counted from 1
---@param message string
function errors.raise(at, message)
  error({ message = message, at = at }, 0)
end

local function count_characters(text)
  local _, n = text:gsub("[^\128-\191]", "")
  return n
end

-- A window of the line around the column, so that a line of a megabyte stays readable.
local function excerpt(source, from, to, at, line)
  local before = source:sub(from, at - 1)
  local after = source:sub(at, to)
  local first = ""
  local column = count_characters(before)
  if column > EXCERPT_CHARACTERS - 20 then
    local cut = utf8.offset(before, -(EXCERPT_CHARACTERS - 20)) or #before + 1
    before, first = before:sub(cut), "..."
  end
  local stop = after:find("[^\128-\191]", EXCERPT_CHARACTERS) or #after + 1
  after = after:sub(1, stop - 1)
  local gutter = tostring(line)
  local pad = (" "):rep(#gutter)
  local shown = first .. before .. after
  local caret = (first .. before):gsub("[^\t\128-\191]", " "):gsub("[\128-\191]", "")
  return ("%s |\n%s | %s\n%s | %s^"):format(pad, gutter, (shown:gsub("%c", function(c)
    return c == "\t" and c or " "
  end)), pad, caret)
end

--- Line, column and excerpt of a byte offset.
---@param source string
---@param at integer
---@return integer line, integer column, string excerpt
function errors.locate(source, at)
  at = math.max(1, math.min(at, #source + 1))
  local line, from = 1, 1
  while true do
    local stop = source:find("\n", from, true)
    if not stop or stop >= at then break end
    line, from = line + 1, stop + 1
  end
  local to = (source:find("\n", from, true) or #source + 1) - 1
  if source:byte(to) == 13 then to = to - 1 end
  local column = count_characters(source:sub(from, at - 1)) + 1
  return line, column, excerpt(source, from, math.max(to, at - 1), at, line)
end

--- The error a caller sees.
---@param raised any      what was raised: an engine error, or anything a filter threw
---@param name string
---@param source string?
---@return TemplateError
function errors.new(raised, name, source)
  local message = type(raised) == "table" and raised.message or tostring(raised)
  if #message > MESSAGE_BYTES then message = message:sub(1, MESSAGE_BYTES) .. "..." end
  local err = { message = message, name = name }
  if type(raised) == "table" then
    err.limit = raised.limit
    if raised.at and source then
      err.line, err.column, err.excerpt = errors.locate(source, raised.at)
    end
  end
  return setmetatable(err, Error)
end

-- The number of single-character edits (a swap of neighbours is one), or nil above `most`.
local function distance(a, b, most)
  if math.abs(#a - #b) > most then return nil end
  local before, row = {}, {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local last
    last, before, row = before, row, { [0] = i }
    local best = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local d = math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        d = math.min(d, last[j - 2] + 1)
      end
      row[j] = d
      if d < best then best = d end
    end
    if best > most then return nil end
  end
  return row[#b] <= most and row[#b] or nil
end

local CANDIDATES <const> = 500

--- ", did you mean 'upper'?", or "" when nothing is near.
---@param word string
---@param known table<string, any>|string[]  names as keys, or a list
---@return string
function errors.suggest(word, known)
  local most = #word <= 3 and 1 or 2
  local best, nearest
  local tried = 0
  for k, v in pairs(known) do
    local name = type(k) == "number" and v or k
    tried = tried + 1
    if tried > CANDIDATES then break end
    if type(name) == "string" and name ~= word and #name <= 60 and #word <= 60 then
      local d = distance(word, name, most)
      if d and d < #word and (not best or d < best or d == best and name < nearest) then
        best, nearest = d, name
      end
    end
  end
  return nearest and (", did you mean '%s'?"):format(nearest) or ""
end

return errors
