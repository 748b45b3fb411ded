-- Unicode and regular expressions for templates, on host.unicode and host.regex: the one file of
-- the engine that knows their functions.
local regex = require "host.regex"
local unicode = require "host.unicode"
local value = require "web.template.value"

local text = {}

text.upper, text.lower, text.capitalize, text.title =
  unicode.upper, unicode.lower, unicode.capitalize, unicode.title
text.trim, text.trim_start, text.trim_end = unicode.trim, unicode.trim_start, unicode.trim_end
text.length, text.reverse, text.slug = unicode.length, unicode.reverse, unicode.slug
text.word_count, text.truncate = unicode.word_count, unicode.truncate
text.is_space, text.valid = unicode.is_space, unicode.valid

--- The characters as a reader counts them, and their number.
---@param s string
---@return string[] list, integer count
function text.graphemes(s)
  local list = unicode.graphemes(s)
  return value.array(list), #list
end

--- Does a pattern of the linear dialect match somewhere? nil and why: it does not compile.
---@param s string
---@param pattern string
---@return boolean|nil found
---@return string|nil message
function text.matches(s, pattern)
  return regex.test(pattern, s, { dialect = "linear" })
end

return text
