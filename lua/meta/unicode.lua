---@meta host.unicode

---Text by the Unicode rules (14.0): letters, words and clusters where Lua's string library has bytes.
---Every function wants UTF-8 of at most 1 MiB and raises for other bytes, naming the place; text from
---outside that is not known to be UTF-8 goes through `valid` or `repair` first.
---@class host.unicode
local unicode = {}

---@param text string
---@return boolean valid
---@return integer? position first byte that is not UTF-8, from 1
function unicode.valid(text) end

---The text with U+FFFD in place of each broken sequence.
---@param text string
---@return string
function unicode.repair(text) end

---Full mapping, no language: "ß" gives "SS".
---@param text string
---@return string
function unicode.upper(text) end

---Full mapping, no language, with the final sigma.
---@param text string
---@return string
function unicode.lower(text) end

---The first character upper, the rest lower.
---@param text string
---@return string
function unicode.capitalize(text) end

---Each word (letters, marks, digits, `_`, and apostrophes inside) capitalized: "don't-stop" gives
---"Don't-Stop".
---@param text string
---@return string
function unicode.title(text) end

---Code points.
---@param text string
---@return integer
function unicode.length(text) end

---By code point: "e\u{301}x" gives "x\u{301}e".
---@param text string
---@return string
function unicode.reverse(text) end

---The code points, each as a string.
---@param text string
---@return string[]
function unicode.chars(text) end

---Without White_Space at both ends.
---@param text string
---@return string
function unicode.trim(text) end

---@param text string
---@return string
function unicode.trim_start(text) end

---@param text string
---@return string
function unicode.trim_end(text) end

---Whether the text is one or more characters of White_Space and nothing else.
---@param text string
---@return boolean
function unicode.is_space(text) end

---The pieces between runs of White_Space.
---@param text string
---@return string[]
function unicode.words(text) end

---@param text string
---@return integer
function unicode.word_count(text) end

---The extended grapheme clusters: what a reader calls characters.
---@param text string
---@return string[]
function unicode.graphemes(text) end

---@param text string
---@return integer
function unicode.grapheme_count(text) end

---`for cluster in unicode.each_grapheme(text) do`
---@param text string
---@return fun(): string?
function unicode.each_grapheme(text) end

---The first `count` clusters.
---@param text string
---@param count integer
---@return string
---@return boolean cut whether something was left out
function unicode.truncate(text, count) end

---In ASCII: "Åsa Łódź, Привет, 서울" gives "Asa Lodz, Privet, seoul". What has no transliteration is
---left out.
---@param text string
---@return string
function unicode.ascii(text) end

---For names in URLs: ASCII, lower case, `-` for each run of others, none at the ends.
---@param text string
---@return string
function unicode.slug(text) end

---Canonical composition (NFC), so that equal text is equal bytes.
---@param text string
---@return string
function unicode.nfc(text) end

return unicode
