-- The place in a template's tokens that the parser has come to, and what is done there: look, take,
-- refuse. A cursor is the table of tokens (lexer.lua) with `i`, the depth, and the source.
local errors = require "web.template.errors"

local cursor = {}

local raise = errors.raise
local find = string.find

--- What stands at the cursor, for messages.
local function found(p)
  local kind, value = p.kind[p.i], p.value[p.i]
  if kind == "end" then return "the end of the template" end
  if kind == "string" then return "a string" end
  if kind == "text" then return "text" end
  if kind == "comment" then return "a comment" end
  if kind == "name" or kind == "path" or kind == "tail" or kind == "int" or kind == "float" then
    return "'" .. value .. "'"
  end
  return "'" .. kind .. "'"
end
cursor.found = found

local function fail(p, expected)
  raise(p.from[p.i], ("expected %s, found %s"):format(expected, found(p)))
end
cursor.fail = fail

local function accept(p, kind)
  if p.kind[p.i] ~= kind then return false end
  p.i = p.i + 1
  return true
end
cursor.accept = accept

local function expect(p, kind, expected)
  if p.kind[p.i] ~= kind then fail(p, expected) end
  p.i = p.i + 1
  return p.value[p.i - 1], p.from[p.i - 1]
end
cursor.expect = expect

local function is_word(p, word)
  return p.kind[p.i] == "name" and p.value[p.i] == word
end
cursor.is_word = is_word

-- `and`, `or` and `not` are operators only before whitespace.
function cursor.accept_operator(p, word)
  if not is_word(p, word) or not find(p.source, "^[ \t\r\n]", p.to[p.i]) then return false end
  p.i = p.i + 1
  return true
end

function cursor.enter(p)
  p.depth = p.depth + 1
  if p.depth > p.max_depth then
    error({
      message = ("nested more than %d deep"):format(p.max_depth), at = p.from[p.i], limit = "depth",
    }, 0)
  end
end

function cursor.leave(p)
  p.depth = p.depth - 1
end

return cursor
