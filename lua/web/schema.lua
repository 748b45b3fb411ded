-- What a client may send, as plain data: one description serves the check of bodies, queries and
-- path parameters (one error answer that lists every wrong field) and the OpenAPI document.
--
--   local NEW = { fields = {
--     title = { type = "string", min = 1, max = 200 },
--     tags = { type = "array", items = { type = "string", max = 30 }, max = 10, optional = true },
--   } }
--
-- A schema is a table:
--   type      "string", "integer", "number", "boolean", "object", "array", "any"; "object" where
--             there are fields
--   min, max  of a string: its characters; of a number: its value; of an array: its length
--   bytes     most bytes of a string
--   enum      the only values
--   format    "email", "uuid", "date-time", "uri": a string of that form
--   pattern   a regular expression (PCRE2) for the whole string
--   fields    of an object: name -> schema; others are refused unless `open`
--   items     of an array: the schema of each
--   optional  may be absent; null counts as absent
--   nullable  may be null, which stays host.json's null
--   default   what an absent one becomes
--   about     a sentence for people
--
-- Why not JSON Schema itself: two thirds of it are for documents, not for input, and its errors are
-- not for people; `schema.json` writes the equivalent. Rejected: a chain of constructors
-- (string():min(1)), which is code where data would do.
-- What must never happen: a wrong schema noticed at the first request; `compile` runs at load.
local errors = require "web.errors"
local json = require "host.json"
local regex = require "host.regex"

local schema = {}

local NAMES = {
  string = "a string", integer = "a whole number", number = "a number", boolean = "true or false",
  object = "an object", array = "an array",
}
local KEYS = {
  type = true, min = true, max = true, bytes = true, enum = true, format = true, pattern = true,
  fields = true, items = true, optional = true, nullable = true, default = true, about = true,
  open = true,
}
local ERRORS_MAX, DEPTH_MAX = 50, 16

---@class web.Schema
---@field type? "string"|"integer"|"number"|"boolean"|"object"|"array"|"any"
---@field min? number
---@field max? number
---@field bytes? integer
---@field enum? any[]
---@field format? "email"|"uuid"|"date-time"|"uri"
---@field pattern? string
---@field fields? table<string, web.Schema>
---@field items? web.Schema
---@field open? boolean
---@field optional? boolean
---@field nullable? boolean
---@field default? any
---@field about? string

-- Forms ---------------------------------------------------------------------------------------

local function is_email(text)
  local name, host = text:match "^([^%s@%c]+)@([^%s@%c]+)$"
  return name ~= nil and #text <= 254 and #name <= 64 and host:find "^[%w-]+%.[%w.-]*%w$" ~= nil
    and not host:find("..", 1, true) and not name:find("..", 1, true)
    and not name:find "^%." and not name:find "%.$"
end


local DAYS = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

local function is_date_time(text)
  local month, day, hour, minute, second, rest =
    text:match "^%d%d%d%d%-(%d%d)%-(%d%d)[Tt](%d%d):(%d%d):(%d%d)(.*)$"
  if not month then return false end
  local zone = rest:gsub("^%.%d+", "")
  local days = DAYS[tonumber(month)]
  return days ~= nil and tonumber(day) >= 1 and tonumber(day) <= days and tonumber(hour) < 24
    and tonumber(minute) < 60 and tonumber(second) <= 60
    and (zone:find "^[Zz]$" ~= nil or zone:find "^[+-][0-2]%d:[0-5]%d$" ~= nil)
end

local FORMS = {
  email = { is_email, "an e-mail address, name@host.example" },
  uuid = {
    function(text)
      return text:find "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"
        ~= nil
    end, "a UUID",
  },
  ["date-time"] = { is_date_time, "a time such as 2026-03-01T12:00:00Z (RFC 3339)" },
  uri = {
    function(text) return text:find "^%a[%w+.-]*:[^%s%c]+$" ~= nil end,
    "a URI with its scheme, https://host.example/path",
  },
}

-- Compiling -----------------------------------------------------------------------------------

local function wrong(where, text, ...)
  error(("schema %s: " .. text):format(where, ...), 0)
end


local compile

local function compile_fields(s, where, depth)
  local fields, names = {}, {}
  for name, field in pairs(s.fields) do
    if type(name) ~= "string" then wrong(where, "fields are named by strings") end
    fields[name] = compile(field, where == "" and name or where .. "." .. name, depth + 1)
    names[#names + 1] = name
  end
  table.sort(names)
  return fields, names
end


function compile(s, where, depth)
  if type(s) ~= "table" then wrong(where, "is a table, got a %s", type(s)) end
  if depth > DEPTH_MAX then wrong(where, "is deeper than %d levels", DEPTH_MAX) end
  for key in pairs(s) do
    if not KEYS[key] then wrong(where, 'has no key "%s"', tostring(key)) end
  end
  local kind = s.type or s.fields and "object" or s.items and "array"
  if kind ~= "any" and not NAMES[kind] then
    wrong(where, 'needs a type, got "%s"', tostring(kind))
  end
  if s.format and not FORMS[s.format] then wrong(where, 'knows no format "%s"', s.format) end
  local made = {
    kind = kind, min = s.min, max = s.max, bytes = s.bytes, enum = s.enum, open = s.open,
    form = s.format and FORMS[s.format], optional = s.optional or s.default ~= nil,
    nullable = s.nullable, default = s.default, source = s,
  }
  if s.pattern then
    made.pattern, made.pattern_text = "\\A(?:" .. s.pattern .. ")\\z", s.pattern
    local tried, message = regex.test(made.pattern, "")
    if tried == nil then wrong(where, "has a wrong pattern: %s", message) end
  end
  if kind == "object" and s.fields then
    made.fields, made.names = compile_fields(s, where, depth)
  end
  if s.items then made.items = compile(s.items, where .. "[]", depth + 1) end
  return made
end

local Compiled = {}


--- A schema made ready; a wrong one raises, so call this at load. A compiled one comes back as is.
---@param s web.Schema
---@param name? string for the message
---@return table compiled
function schema.compile(s, name)
  if getmetatable(s) == Compiled then return s end
  return setmetatable(compile(s, name or "", 1), Compiled)
end

-- Checking ------------------------------------------------------------------------------------

local function kind_of(value)
  if value == json.null then return "null" end
  local kind = math.type(value) or type(value)
  if kind == "float" then return "number" end
  if kind ~= "table" then return kind end
  return getmetatable(value) == json.array_mt and "array" or "object"
end


local function complain(found, where, text, ...)
  if #found < ERRORS_MAX then
    found[#found + 1] = { field = where, error = text:format(...) }
  end
end


-- The value if it is of that type, else nil; a float without a fraction is a whole number too.
local function typed(value, kind)
  if kind == "integer" then return math.type(value) and math.tointeger(value) end
  local is = kind_of(value)
  if is == kind or kind == "number" and is == "integer" then return value end
end


local function range(s, what)
  if s.min and s.max then
    if s.min == s.max then return ("%s %s"):format(s.min, what) end
    return ("%s to %s %s"):format(s.min, s.max, what)
  end
  return s.min and ("at least %s %s"):format(s.min, what) or ("at most %s %s"):format(s.max, what)
end


local function outside(s, n)
  return s.min and n < s.min or s.max and n > s.max
end

local limits = {}

function limits.string(s, text, where, found)
  local n = utf8.len(text)
  if not n then return complain(found, where, "must be UTF-8") end
  if text:find("\0", 1, true) then return complain(found, where, "must not contain NUL") end
  if outside(s, n) then
    return complain(found, where, "must have %s, has %d", range(s, "characters"), n)
  end
  if s.bytes and #text > s.bytes then
    return complain(found, where, "must have at most %d bytes, has %d", s.bytes, #text)
  end
  if s.form and not s.form[1](text) then
    return complain(found, where, "must be %s", s.form[2])
  end
  if s.pattern and not regex.test(s.pattern, text) then
    local about = s.source.about
    return complain(found, where, "must match %s%s", s.pattern_text,
      about and " (" .. about .. ")" or "")
  end
end


local function number_limits(s, n, where, found)
  if n ~= n or n == math.huge or n == -math.huge then
    return complain(found, where, "must be a finite number")
  end
  if outside(s, n) then
    local text = range(s, ""):gsub(" $", "")
    complain(found, where, "must be %s, got %s", text, n)
  end
end

limits.integer, limits.number = number_limits, number_limits


local function in_enum(s, value)
  for _, allowed in ipairs(s.enum) do
    if allowed == value then return true end
  end
  return false
end


local function enum_text(s)
  local words = {}
  for i, allowed in ipairs(s.enum) do words[i] = json.encode(allowed) end
  return table.concat(words, ", ")
end

local check


local function check_object(s, value, where, found)
  if not s.fields then return value end
  local made = {}
  for _, name in ipairs(s.names) do
    local field, item = s.fields[name], value[name]
    if item == nil and field.optional then
      made[name] = field.default
    else
      made[name] = check(field, item, where == "" and name or where .. "." .. name, found)
    end
  end
  for name, item in pairs(value) do
    if not s.fields[name] then
      if s.open then
        made[name] = item
      else
        local shown = tostring(name):sub(1, 100)
        complain(found, where == "" and shown or where .. "." .. shown,
          "is unknown here; known: %s", table.concat(s.names, ", "))
      end
    end
  end
  return made
end


local function check_array(s, value, where, found)
  if outside(s, #value) then
    complain(found, where, "must have %s, has %d", range(s, "items"), #value)
    return
  end
  if not s.items then return value end
  local made = setmetatable({}, json.array_mt)
  for i, item in ipairs(value) do
    made[i] = check(s.items, item, ("%s[%d]"):format(where, i - 1), found)
  end
  return made
end


function check(s, value, where, found)
  if value == json.null and s.nullable then return value end
  if value == nil or value == json.null then
    if not s.optional then
      complain(found, where, "is missing; it must be %s", NAMES[s.kind] or "there")
    end
    return s.default
  end
  if s.kind == "any" then return value end
  local right = typed(value, s.kind)
  if right == nil then
    return complain(found, where, "must be %s, got %s", NAMES[s.kind], kind_of(value))
  end
  if s.enum and not in_enum(s, right) then
    return complain(found, where, "must be one of %s", enum_text(s))
  end
  if s.kind == "object" then return check_object(s, right, where, found) end
  if s.kind == "array" then return check_array(s, right, where, found) end
  if limits[s.kind] then limits[s.kind](s, right, where, found) end
  return right
end


--- Checks a decoded JSON value.
---@param s web.Schema|table
---@param value any
---@return any|nil value with defaults, without nulls where a field is optional
---@return { field: string, error: string }[]|nil errors every wrong field, 50 at most
function schema.check(s, value)
  local found = {}
  local made = check(schema.compile(s), value, "", found)
  if #found > 0 then return nil, found end
  return made
end

-- Requests ------------------------------------------------------------------------------------

local WORDS = { ["true"] = true, ["false"] = false }

-- A query or a path has texts only: what the schema says decides what they stand for.
local function from_text(s, text)
  if s.kind == "integer" then
    return text:find "^%-?%d+$" and math.tointeger(tonumber(text)) or text
  end
  if s.kind == "number" then
    return text:find "^%-?%d[%d.eE+-]*$" and tonumber(text) or text
  end
  if s.kind == "boolean" and WORDS[text] ~= nil then return WORDS[text] end
  return text
end


local function from_texts(s, texts)
  local made = {}
  for name, text in pairs(texts) do
    local field = s.fields and s.fields[name]
    made[name] = field and from_text(field, text) or text
  end
  return made
end


local function merge(found, errors_found, where)
  for _, e in ipairs(errors_found or {}) do
    if e.field == "" then e.field = where end
    e["in"] = where
    found[#found + 1] = e
  end
end


local function part(found, s, value, where)
  local made, wrong_fields = schema.check(s, value)
  merge(found, wrong_fields, where)
  return made
end


--- What a request brought, checked: 400 with every wrong field.
---@param req web.Request
---@param wanted { params?: table, query?: table, body?: table } compiled
---@return { params?: table, query?: table, body?: any }
function schema.request(req, wanted)
  local found, made = {}, {}
  if wanted.params then
    made.params = part(found, wanted.params, from_texts(wanted.params, req.params), "path")
  end
  if wanted.query then
    made.query = part(found, wanted.query, from_texts(wanted.query, req.query), "query")
  end
  local body = wanted.body
  if body and not (body.optional and req.body == "") then
    made.body = part(found, body, req.json, "body")
  end
  if #found == 0 then return made end
  local first = found[1]
  local more = #found > 1 and (" (and %d more, see errors)"):format(#found - 1) or ""
  errors.throw(400, "invalid", ('"%s" %s%s'):format(first.field, first.error, more), nil,
    { field = first.field, errors = setmetatable(found, json.array_mt) })
end

-- JSON Schema ---------------------------------------------------------------------------------

local JSON_LIMITS = {
  string = { "minLength", "maxLength" }, array = { "minItems", "maxItems" },
  integer = { "minimum", "maximum" }, number = { "minimum", "maximum" },
}


local function json_type(s, null)
  if s.kind == "any" then return nil end
  return null and setmetatable({ s.kind, "null" }, json.array_mt) or s.kind
end


local function json_enum(s, null)
  if not s.enum or not null then return s.enum end
  local made = setmetatable({ table.unpack(s.enum) }, json.array_mt)
  made[#made + 1] = json.null
  return made
end


local function json_limits(s, made)
  local names = JSON_LIMITS[s.kind]
  if not names then return end
  made[names[1]], made[names[2]] = s.min, s.max or s.bytes
  if s.kind == "integer" then -- of 64 bits
    made.minimum, made.maximum = s.min or math.mininteger, s.max or math.maxinteger
  end
end


-- `texts`: of a query or a path, which knows no null.
local function json_of(s, texts)
  local null = not texts and (s.nullable or s.optional)
  local made = { description = s.source.about, default = s.default, enum = json_enum(s, null),
    format = s.source.format, type = json_type(s, null) }
  if s.pattern_text then made.pattern = "^(?:" .. s.pattern_text .. ")$" end
  json_limits(s, made)
  if s.items then made.items = json_of(s.items, texts) end
  if s.fields then
    made.properties, made.required = {}, setmetatable({}, json.array_mt)
    for _, name in ipairs(s.names) do
      made.properties[name] = json_of(s.fields[name], texts)
      if not s.fields[name].optional then made.required[#made.required + 1] = name end
    end
    if #made.required == 0 then made.required = nil end
    if not s.open then made.additionalProperties = false end
  end
  return made
end


--- The same as JSON Schema (2020-12), for OpenAPI 3.1.
---@param s web.Schema|table
---@param texts? boolean of a query or a path: an optional field can't be null
---@return table
function schema.json(s, texts)
  return json_of(schema.compile(s), texts)
end

return schema
