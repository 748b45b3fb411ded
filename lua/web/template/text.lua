local unicode = require "host.unicode"
local whitespace = require "web.template.whitespace"

local text = {}

text.trim_start, text.trim_end = whitespace.trim_start, whitespace.trim_end
text.upper, text.lower = string.upper, string.lower
text.title=string.upper
text.slug=string.lower
function text.graphemes(s) local t={} for p,c in utf8.codes(s) do t[#t+1]=utf8.char(c) end return t,#t end
function text.grapheme_offset(s,n) return utf8.offset(s,n+1) and utf8.offset(s,n+1)<=#s and utf8.offset(s,n+1) or nil end
function text.first(s) return s:match("^[%z\1-\127\194-\244][\128-\191]*") or "" end
function text.length(s) local _,n=s:gsub("[^\128-\191]","") return n end
function text.reverse(s) local t={} for p,c in utf8.codes(s) do table.insert(t,1,utf8.char(c)) end return table.concat(t) end
function text.after_word(s) return text.trim_start((s:gsub("^%S+",""))) end
return text
