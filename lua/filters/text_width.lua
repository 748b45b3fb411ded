-- {{ label | text_width(size=11) }}: about how wide a text is, in pixels, in a font like Helvetica,
-- Arial or Verdana's narrower kin. For badges, whose boxes must fit before any browser sees them.
local arguments = require "web.arguments"
local unicode = require "host.unicode"

local MOST_BYTES <const> = 10000

-- Thousandths of the font's size, from Helvetica's metrics; what is missing is 556.
local widths = {}
for text, width in pairs {
  ["'"] = 191, ["ijl"] = 222, ["|"] = 260, [" !,./:;\\[]ftI"] = 278, ["()-`r"] = 333,
  ['"'] = 355, ["*"] = 389, ["^"] = 469, ["cksvxyzJ"] = 500, ["+<=>~"] = 584, ["FTZ"] = 611,
  ["&ABEKPSVXY"] = 667, ["wCDHNRU"] = 722, ["GOQ"] = 778, ["mM"] = 833, ["%"] = 889, ["W"] = 944,
  ["@"] = 1015, ["{}"] = 334,
} do
  for c in text:gmatch "." do widths[c] = width end
end

-- East Asian text and pictographs take a square.
local function is_wide(cluster)
  local c = utf8.codepoint(cluster)
  return c >= 0x1100 and c <= 0x115f or c >= 0x2e80 and c <= 0xa4cf or c >= 0xac00 and c <= 0xd7a3
    or c >= 0xf900 and c <= 0xfaff or c >= 0xfe30 and c <= 0xfe6f or c >= 0xff00 and c <= 0xff60
    or c >= 0x1f300 and c <= 0x1faff or c >= 0x20000 and c <= 0x3fffd
end

---@param value string|number
---@param args { size: number?, bold: boolean? }
---@return number
return function(value, args)
  local size = arguments.number(args, "size", 11)
  local text = math.type(value) and tostring(value) or value
  if type(text) ~= "string" then error("the value must be a string or a number", 0) end
  if #text > MOST_BYTES then error(("a text of at most %d bytes"):format(MOST_BYTES), 0) end
  local sum = 0
  for cluster in unicode.each_grapheme(text) do
    sum = sum + (widths[cluster] or is_wide(cluster) and 1000 or 556)
  end
  if arguments.boolean(args, "bold", false) then sum = sum * 1.06 end
  return math.floor(sum * size / 100 + 0.5) / 10
end
