---@meta host.json

---JSON that comes back as it went: 1 and 1.0, [] and {}, null, all digits of an integer.
---The names are lua-cjson's; the settings that would lose something are not there.
---@class host.json
---@field null lightuserdata JSON's null; tostring gives "null"
---@field empty_array lightuserdata encoded as []
---@field array_mt table marks a table as an array even when empty; decode sets it on all arrays
---@field empty_array_mt table the same metatable, by lua-cjson's other name
local json = {}

---@class json.DecodeOptions
---@field duplicates? boolean false: an object that has a key twice is an error (default: the last one wins)
---@field max_depth? integer levels of arrays and objects, 1 to 1024 (default 64)
---@field max_size? integer bytes of text (default 8 MiB)

---Integers that fit 64 bits become integers; larger ones, those with a point or an exponent, and -0
---become floats. Text that is not UTF-8, half of a surrogate pair, and numbers beyond a double are
---errors.
---@param text string
---@param options? json.DecodeOptions
---@return any value
---@return string? message "line 1 column 7: expected ',' or '}', got 'x'"; columns count characters
---@return "json"? code
---@return integer? position byte of the text, from 1
function json.decode(text, options) end

---@class json.EncodeOptions
---@field sort? boolean keys in byte order (default: in the table's order)
---@field pretty? boolean a line for each item, two spaces for each level
---@field max_depth? integer 1 to 1024 (default 64)
---@field max_size? integer bytes of output (default 8 MiB)

---A table with keys 1, 2, 3 ... is an array (holes become null), one with strings an object, an empty
---one an object unless it has array_mt. Floats keep a point or an exponent: 1.0, 1e16. Raises for
---what JSON does not have, naming the path: "cannot encode a function at .a.b[3]".
---@param value any
---@param options? json.EncodeOptions
---@return string
function json.encode(value, options) end

---Marks a table (or a new one) as an array.
---@generic T: table
---@param list? T
---@return T
function json.array(list) end

---Reads or sets the default of max_depth for this instance.
---@param depth? integer
---@return integer
function json.decode_max_depth(depth) end

---@param depth? integer
---@return integer
function json.encode_max_depth(depth) end

---An instance with settings of its own; the markers and metatables are shared.
---@return host.json
function json.new() end

return json
