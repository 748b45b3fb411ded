-- A template's text as tokens, in one pass. Four parallel arrays instead of a table per token: a
-- megabyte of template makes many tokens.
--
--   kind   "text", "comment", "raw", "{{" "}}" "{%" "%}", "name", "path" (a.b.0), "tail" (.b.0
--          after a bracket), "int", "float", "string", an operator as itself, "end"
--   value  the text, name, number, or string; for delimiters true when they carry a `-`
--   from   the byte where it starts; to: the byte after it
local errors = require "web.template.errors"

local lexer = {}

local byte, find, sub = string.byte, string.find, string.sub
local raise = errors.raise

local SPACE <const> = "[ \t\r\n]*"
local RAW <const> = "{%%(%-?)" .. SPACE .. "raw" .. SPACE .. "(%-?)%%}"
local ENDRAW <const> = "{%%(%-?)" .. SPACE .. "endraw" .. SPACE .. "(%-?)%%}"

local pairs_of = {
  ["=="] = true, ["!="] = true, ["<="] = true, [">="] = true, ["::"] = true,
}
local singles = {}
for c in ("()[],|=~+-*/%<>"):gmatch "." do singles[c] = true end

local quotes = { ['"'] = "double quote", ["'"] = "single quote", ["`"] = "backtick" }

local function read_number(source, at)
  local _, stop = find(source, "^%d+", at)
  local digits = sub(source, at, stop)
  if #digits > 1 and byte(digits) == 48 then
    raise(at, ("'%s': numbers have no leading zeros"):format(digits))
  end
  local _, fraction = find(source, "^%.%d+", stop + 1)
  if fraction then
    return "float", sub(source, at, fraction), fraction + 1
  end
  if byte(source, stop + 1) == 46 then
    raise(stop + 1, "a number needs a digit after its point")
  end
  return "int", digits, stop + 1
end

-- One token inside of a tag: kind, value, next position.
local function read_token(source, at)
  local c = sub(source, at, at)
  if find(c, "[A-Za-z_]") then
    local _, stop = find(source, "^[%w_]+", at)
    local _, dots = find(source, "^%.[%w_][%w_.]*", stop + 1)
    if not dots then return "name", sub(source, at, stop), stop + 1 end
    local path = sub(source, at, dots)
    if find(path, "..", 1, true) or byte(path, -1) == 46 then
      raise(at, ("'%s': a name is missing between or after the dots"):format(path))
    end
    return "path", path, dots + 1
  end
  if find(c, "%d") then return read_number(source, at) end
  if quotes[c] then
    local stop = find(source, c, at + 1, true)
    if not stop then
      raise(at, ("this string is not closed: its %s is missing"):format(quotes[c]))
    end
    return "string", sub(source, at + 1, stop - 1), stop + 1
  end
  local two = sub(source, at, at + 1)
  if pairs_of[two] then return two, two, at + 2 end
  if singles[c] then return c, c, at + 1 end
  if c == "." then
    local _, stop = find(source, "^%.[%w_][%w_.]*", at)
    if stop then return "tail", sub(source, at, stop), stop + 1 end
  end
  if c == "" then return nil end
  local _, stop = find(source, "^[%z\1-\127\194-\244][\128-\191]*", at)
  raise(at, ("unexpected character '%s'"):format(sub(source, at, stop or at)))
end

-- Reads the tokens of one tag up to its end; returns the position after it.
local function read_tag(source, at, add, close, opened)
  while true do
    local _, last = find(source, "^" .. SPACE, at)
    at = last + 1
    local two = sub(source, at, at + 1)
    if two == close then
      add(close, false, at, at + 2)
      return at + 2
    end
    if sub(source, at, at + 2) == "-" .. close then
      add(close, true, at, at + 3)
      return at + 3
    end
    local kind, value, stop = read_token(source, at)
    if not kind then
      raise(opened, ("this tag is not closed: '%s' is missing"):format(close))
    end
    add(kind, value, at, stop)
    at = stop
  end
end

local function read_comment(source, at, add)
  local left = byte(source, at + 2) == 45
  local inner = left and at + 3 or at + 2
  local hash = find(source, "#}", inner, true)
  if not hash then raise(at, "this comment is not closed: '#}' is missing") end
  local right = hash > inner and byte(source, hash - 1) == 45
  if (right and hash - 1 or hash) == inner then
    raise(at, "an empty comment; it needs at least one character")
  end
  add("comment", { left = left, right = right }, at, hash + 2)
  return hash + 2
end

-- `{% raw %}`: content is not looked at, up to the first endraw tag.
local function read_raw(source, at, add)
  local _, stop, left, right = find(source, "^" .. RAW, at)
  if not stop then return nil end
  local from, to, end_left, end_right = find(source, ENDRAW, stop + 1)
  if not from then raise(at, "this raw block is not closed: '{% endraw %}' is missing") end
  add("raw", {
    text = sub(source, stop + 1, from - 1),
    left = left == "-", inner_left = right == "-", inner_right = end_left == "-",
    right = end_right == "-",
  }, at, to + 1)
  return to + 1
end

---@class TemplateTokens
---@field kind string[]
---@field value any[]
---@field from integer[]
---@field to integer[]

---@param source string
---@param most? integer  tokens
---@return TemplateTokens
function lexer.scan(source, most)
  local kind, value, from, to, n = {}, {}, {}, {}, 0
  most = most or math.maxinteger
  local function add(k, v, a, b)
    n = n + 1
    if n > most then
      error({ message = ("the template has more than %d words and signs in its tags"):format(most),
        at = a, limit = "tokens" }, 0)
    end
    kind[n], value[n], from[n], to[n] = k, v, a, b
  end
  local at = 1
  while true do
    local open = find(source, "{[{%%#]", at) or #source + 1
    if open > at then add("text", sub(source, at, open - 1), at, open) end
    if open > #source then break end
    local c = byte(source, open + 1)
    if c == 35 then
      at = read_comment(source, open, add)
    else
      local after = c == 37 and read_raw(source, open, add)
      if not after then
        local trim = byte(source, open + 2) == 45
        local inner = trim and open + 3 or open + 2
        add(c == 37 and "{%" or "{{", trim, open, inner)
        after = read_tag(source, inner, add, c == 37 and "%}" or "}}", open)
      end
      at = after
    end
  end
  add("end", nil, #source + 1, #source + 1)
  return { kind = kind, value = value, from = from, to = to }
end

return lexer
