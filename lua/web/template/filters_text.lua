-- Filters of strings. All take text literally: no pattern of a template ever reaches a matcher.
local fail = require "web.template.fail"
local print = require "web.template.print"
local runtime = require "web.template.runtime"
local text = require "web.template.text"
local value = require "web.template.value"
local whitespace = require "web.template.whitespace"

local filters = {}

local find, sub, gsub, byte, format = string.find, string.sub, string.gsub, string.byte,
  string.format
local concat = table.concat

-- What is shorter costs no step.
local SHORT <const> = 64

local reserve = runtime.reserve

local function filter(name, apply)
  local label = "filter '" .. name .. "'"
  filters[name] = function(v, args, R)
    if type(v) ~= "string" then fail.text_value(label, v) end
    if #v > SHORT then reserve(R, #v) end
    return (apply(v, args, R, label))
  end
end

filter("upper", text.upper)
filter("lower", text.lower)
filter("capitalize", text.capitalize)
filter("title", text.title)
filter("trim", text.trim)
filter("trim_start", text.trim_start)
filter("trim_end", text.trim_end)
filter("slugify", text.slug)
filter("wordcount", text.word_count)

-- `\n` and `\t` of two characters, since strings of the language have no escapes.
local function decode(pattern)
  return (gsub(gsub(pattern, "\\n", "\n"), "\\t", "\t"))
end

filter("trim_start_matches", function(v, args, _, label)
  local pat = decode(fail.string(label, args, "pat"))
  if pat == "" then return v end
  local at = 1
  while sub(v, at, at + #pat - 1) == pat do at = at + #pat end
  return sub(v, at)
end)

filter("trim_end_matches", function(v, args, _, label)
  local pat = decode(fail.string(label, args, "pat"))
  if pat == "" then return v end
  local to = #v
  while to >= #pat and sub(v, to - #pat + 1, to) == pat do to = to - #pat end
  return sub(v, 1, to)
end)

filter("truncate", function(v, args, _, label)
  local length = fail.natural(label, args, "length", 255)
  local ending = fail.string(label, args, "end", "…")
  -- A grapheme has at least one byte.
  if length >= #v then return v end
  local start, was_cut = text.truncate(v, length)
  return was_cut and start .. ending or v
end)

-- Where each character starts, and the end: where an empty pattern matches.
local function boundaries(v)
  local list, n = {}, 0
  for at in v:gmatch "()[^\128-\191]" do
    n = n + 1
    list[n] = at
  end
  list[n + 1] = #v + 1
  return list
end

-- The pieces of v between literal matches of `pattern`.
local function cut(v, pattern, R)
  local pieces, n = {}, 0
  if pattern == "" then
    runtime.charge(R, #v // 4)
    local list = boundaries(v)
    pieces[1] = ""
    for i = 1, #list - 1 do pieces[i + 1] = sub(v, list[i], list[i + 1] - 1) end
    pieces[#list + 1] = ""
    return pieces
  end
  runtime.search(R, v, pattern)
  local at = 1
  while true do
    local from, to = find(v, pattern, at, true)
    n = n + 1
    if not from then
      pieces[n] = sub(v, at)
      runtime.charge(R, n // 8)
      return pieces
    end
    pieces[n] = sub(v, at, from - 1)
    at = to + 1
  end
end

filter("split", function(v, args, R, label)
  return value.array(cut(v, decode(fail.string(label, args, "pat")), R))
end)

filter("replace", function(v, args, R, label)
  local from = fail.string(label, args, "from")
  local to = fail.string(label, args, "to")
  if from == "" then reserve(R, #v + (text.length(v) + 1) * #to) end
  runtime.search(R, v, from)
  if from ~= "" and not find(v, from, 1, true) then return v end
  local pieces = cut(v, from, R)
  reserve(R, #v + (#pieces - 1) * (#to - #from))
  return concat(pieces, to)
end)

filter("addslashes", function(v) return (gsub(v, "[\\\"']", "\\%0")) end)
filter("escape", function(v) return print.escape(v) end)

local xml = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&apos;" }
filter("escape_xml", function(v) return (gsub(v, "[&<>\"']", xml)) end)

filter("linebreaksbr", function(v) return (gsub(gsub(v, "\r\n", "<br>"), "\n", "<br>")) end)

-- Lines without their ends; a final newline ends the last line.
local function lines_of(v)
  local lines, n, at = {}, 0, 1
  while at <= #v do
    local stop = find(v, "\n", at, true)
    local to = (stop or #v + 1) - 1
    if stop and byte(v, to) == 13 and to >= at then to = to - 1 end
    n = n + 1
    lines[n] = sub(v, at, to)
    at = (stop or #v) + 1
  end
  return lines, n
end

filter("indent", function(v, args, R, label)
  local prefix = fail.string(label, args, "prefix", "    ")
  local first = fail.boolean(label, args, "first", false)
  local blank = fail.boolean(label, args, "blank", false)
  local lines, n = lines_of(v)
  runtime.charge(R, n // 8)
  reserve(R, #v + n * #prefix)
  for i = 1, n do
    local line = lines[i]
    if i == 1 then
      if first then lines[i] = prefix .. line end
    elseif blank or line ~= "" and not text.is_space(line) then
      lines[i] = prefix .. line
    end
  end
  return concat(lines, "\n")
end)

-- Tags and one-line comments; an unclosed `<` stays. Two plain searches a tag, never a pattern that
-- could look at the rest of the text again and again.
filter("striptags", function(v)
  local pieces, at = {}, 1
  local no_comment_end
  while true do
    local open = find(v, "<", at, true)
    if not open then break end
    local close
    if sub(v, open, open + 3) == "<!--" and not no_comment_end then
      local _, stop = find(v, "-->", open + 4, true)
      if not stop then no_comment_end = true end
      if stop and not find(sub(v, open, stop), "\n", 1, true) then close = stop end
    end
    close = close or find(v, ">", open, true)
    if not close then break end
    pieces[#pieces + 1] = sub(v, at, open - 1)
    at = close + 1
  end
  pieces[#pieces + 1] = sub(v, at)
  return concat(pieces)
end)

filter("spaceless", function(v)
  local pieces, at = {}, 1
  while true do
    local close = find(v, ">", at, true)
    if not close then break end
    pieces[#pieces + 1] = sub(v, at, close)
    local after = whitespace.skip(v, close + 1)
    at = byte(v, after) == 60 and after or close + 1
  end
  pieces[#pieces + 1] = sub(v, at)
  return concat(pieces)
end)

local percent = {}
for c = 0, 255 do percent[string.char(c)] = format("%%%02X", c) end

filter("urlencode", function(v, _, R)
  local encoded = gsub(v, "[^%w%-._~/%%]", percent)
  reserve(R, #encoded)
  return encoded
end)
filter("urlencode_strict", function(v, _, R)
  local encoded = gsub(v, "[^%w]", percent)
  reserve(R, #encoded)
  return encoded
end)

return filters
