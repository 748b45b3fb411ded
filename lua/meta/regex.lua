---@meta host.regex

---Regular expressions (PCRE2) with limits, over Unicode characters: \d \w \s \b and case folding are
---Unicode's. A pattern from outside is safe: one that backtracks too much ends with an error.
---Compiled patterns are kept (the 256 used last).
---
---Failures return nil, message, code: "pattern" (does not compile, with the place), "limit" (too many
---steps, too deep, too much memory), "utf8" (the subject is not UTF-8).
---@class host.regex
local regex = {}

---@class regex.Options
---@field dialect? "linear" only what Rust's and Go's regex accept: no backreferences, no look-around ...
---@field ignore_case? boolean the same as (?i)
---@field multiline? boolean ^ and $ match at lines, the same as (?m)
---@field dotall? boolean . matches a line break, the same as (?s)
---@field extended? boolean the same as (?x)

---@class regex.Match
---@field [integer] string|false captures; [0] is the whole match; false: did not take part
---@field first integer byte where it begins, from 1
---@field last integer byte where it ends
---@field names? table<string, string|false> named captures, where the pattern has names

---Whether the pattern matches somewhere.
---@param pattern string
---@param subject string
---@param options? regex.Options
---@return boolean?
---@return string? message
---@return "pattern"|"limit"|"utf8"? code
function regex.test(pattern, subject, options) end

---Where it matches first: bytes from and to (an empty match has last = first - 1). No match: false.
---@param pattern string
---@param subject string
---@param init? integer byte to start at
---@param options? regex.Options
---@return integer|false|nil first
---@return integer|string? last
---@return string? code
function regex.find(pattern, subject, init, options) end

---The first match with its captures; false when there is none.
---@param pattern string
---@param subject string
---@param init? integer
---@param options? regex.Options
---@return regex.Match|false|nil
---@return string? message
---@return string? code
function regex.match(pattern, subject, init, options) end

---All matches, not overlapping, at most `limit` (10,000).
---@param pattern string
---@param subject string
---@param options? regex.Options|{ limit?: integer }
---@return regex.Match[]?
---@return string? message
---@return string? code
function regex.all(pattern, subject, options) end

---The subject with matches replaced: by a text in which $1, ${1} or ${name} stand for captures and
---$$ for a dollar; or by what a function(match) returns (nil or false keeps the match).
---@param pattern string
---@param subject string
---@param replacement string|fun(match: regex.Match): string?|false
---@param options? regex.Options|{ limit?: integer }
---@return string?
---@return integer|string? count or message
---@return string? code
function regex.replace(pattern, subject, replacement, options) end

---The text with the characters that mean something in a pattern escaped.
---@param text string
---@return string
function regex.escape(text) end

---What the cache of compiled patterns did.
---@return { entries: integer, hits: integer, misses: integer, evicted: integer }
function regex.stats() end

return regex
