-- Lua's words: { kind, text, line }, where kind is name, keyword, op, string, number or eof. The
-- file has been compiled by Lua itself before, so nothing here explains what is wrong.
local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat
return then true until while]]):gmatch "%a+" do
  KEYWORDS[word] = true
end

local OPERATORS = { "^%.%.%.", "^%.%.", "^::", "^//", "^<<", "^>>", "^[<>=~]=", "^%p" }


local function count_lines(text)
  return select(2, text:gsub("\n", "\n"))
end


-- The end of a long bracket that begins at `at`; nil: there is none.
local function long_end(source, at)
  local level = source:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, stop = source:find("]" .. level .. "]", at, true)
  return stop or #source
end


local function quoted_end(source, at)
  local quote, i = source:sub(at, at), at + 1
  while i <= #source do
    local c = source:sub(i, i)
    if c == "\\" then
      i = i + 1
    elseif c == quote then
      return i
    end
    i = i + 1
  end
  return #source
end


-- The end of what is skipped at `at`: space and comments; nil: there is nothing.
local function skip_end(source, at)
  local _, stop = source:find("^%s+", at)
  if stop then return stop end
  if source:sub(at, at + 1) ~= "--" then return nil end
  return long_end(source, at + 2) or (source:find("\n", at, true) or #source + 1) - 1
end


local function operator_end(source, at)
  for _, pattern in ipairs(OPERATORS) do
    local _, stop = source:find(pattern, at)
    if stop then return stop end
  end
  return at
end


-- Kind and end of the word at `at`.
local function word_at(source, at)
  local c = source:sub(at, at)
  local _, stop = source:find("^[%a_][%w_]*", at)
  if stop then return KEYWORDS[source:sub(at, stop)] and "keyword" or "name", stop end
  _, stop = source:find("^0[xX][%x.]+[pP]?[+-]?%x*", at)
  if not stop then _, stop = source:find("^%.?%d[%d.]*[eE]?[+-]?%d*", at) end
  if stop then return "number", stop end
  if c == '"' or c == "'" then return "string", quoted_end(source, at) end
  if c == "[" and long_end(source, at) then return "string", long_end(source, at) end
  return "op", operator_end(source, at)
end


---@param source string
---@return { kind: string, text: string, line: integer }[]
return function(source)
  local words, at, line = {}, 1, 1
  source = source:gsub("^#[^\n]*", "")
  while at <= #source do
    local stop = skip_end(source, at)
    if not stop then
      local kind
      kind, stop = word_at(source, at)
      words[#words + 1] = { kind = kind, text = source:sub(at, stop), line = line }
    end
    line = line + count_lines(source:sub(at, stop))
    at = stop + 1
  end
  words[#words + 1] = { kind = "eof", text = "", line = line }
  return words
end
