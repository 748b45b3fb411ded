-- Templates in the language of Tera 1.x, compiled to Lua. docs/templates.md has the language, and
-- the differences from Tera with their reasons. In reading order: lexer, cursor, expressions,
-- parser, whitespace (text to tree); writer, paths, emit, loops, compiler (tree to Lua); runtime,
-- print (what that Lua calls); units (templates that refer to one another); filters, tests,
-- functions, dates.
--
-- Strangers' templates: the language has no way to Lua; a template reads plain data and calls only
-- what its environment lists. All that could be without end has a limit (runtime.lua).
local cache = require "web.template.cache"
local errors = require "web.template.errors"
local extensions = require "web.template.extensions"
local filters = require "web.template.filters"
local functions = require "web.template.functions"
local print = require "web.template.print"
local source = require "web.template.source"
local tests = require "web.template.tests"
local units = require "web.template.units"

local template = {}

---@class TemplateLimits
---@field steps integer   iterations, macro calls, includes, and work of filters
---@field bytes integer   of the output and of each value
---@field depth integer   of nesting, of macro calls and of includes
---@field ms number       of one render
---@field source integer  bytes of a template
---@field tokens integer  words and signs of a template's tags: what compiling it costs

---@class TemplateOptions
---@field source? table<string, string>|(fun(name: string): string?)|string  texts, or a folder
---@field autoescape? string[]|boolean  suffixes of names; true: always
---@field strict? boolean   strangers' templates: no get_env, no __tera_context
---@field limits? TemplateLimits
---@field filters? table<string, function|{ safe: boolean, call: function }>
---@field tests? table<string, function>
---@field functions? table<string, function|{ safe: boolean, call: function }>

local DEFAULT_LIMITS <const> = {
  steps = 2000000, bytes = 8 * 1024 * 1024, depth = 64, ms = 80, source = 1024 * 1024,
  tokens = 1000000,
}
local STRICT_LIMITS <const> = {
  steps = 200000, bytes = 1024 * 1024, depth = 64, ms = 50, source = 1024 * 1024,
  tokens = 15000,
}
local SUFFIXES <const> = { ".html", ".htm", ".xml", ".svg" }
local NAMELESS <const> = "template"
local CACHE_ENTRIES <const> = 512
local CACHE_BYTES <const> = 16 * 1024 * 1024

local builtin = { filter = filters, test = tests, ["function"] = functions }

---@class TemplateEnvironment
local Environment = {}
Environment.__index = Environment

--- Does the output of an entry template of this name get escaped?
function Environment:escapes(name)
  if type(self.autoescape) == "boolean" then return self.autoescape end
  if name == NAMELESS then return true end
  for _, suffix in ipairs(self.autoescape) do
    if name:sub(-#suffix) == suffix then return true end
  end
  return false
end

--- The user's filter, test or function of a name.
function Environment:custom(sort, name)
  return self.extensions:find(sort, name)
end

--- What generated code calls for a filter, test or function.
function Environment:callable(sort, name)
  local custom = self.extensions:find(sort, name)
  if custom then return custom.call end
  if self.strict and sort == "function" and name == "get_env" then return nil end
  return builtin[sort][name]
end

function Environment:is_safe(sort, name)
  local custom = self.extensions:find(sort, name)
  return custom ~= nil and custom.safe
end

--- Names for suggestions.
function Environment:known(sort)
  local known = self.extensions:names(sort)
  for name in pairs(builtin[sort]) do known[name] = true end
  if sort == "filter" then known.safe, known.default = true, true end
  if self.strict then known.get_env = nil end
  return known
end

function Environment:suggest_template(name)
  return errors.suggest(name, self.source.names())
end

--- The unit of a template of the source, or nil; raises a TemplateError.
function Environment:unit(name)
  local text = self.source.read(name)
  if not text then return nil end
  local unit = self.units:get(name)
  if unit and unit.text == text then return unit end
  local added
  local ok, result = pcall(units.new, self, name, text, function(new)
    added = new
    self.units:put(name, new, #text)
  end)
  if ok then return result end
  if added then self.units:put(name, nil, 0) end
  error(result, 0)
end

local function as_error(raised, name)
  if type(raised) == "table" and raised.name then return raised end
  return errors.new(raised, name)
end

local function check_context(context)
  if context == nil then return {} end
  if type(context) ~= "table" or context[1] ~= nil then
    error("a template's context is a table of names", 3)
  end
  return context
end

local function prepare(self, name)
  local unit = self:unit(name)
  if not unit then
    error({ message = ("no template '%s'%s"):format(name, self:suggest_template(name)) }, 0)
  end
  units.link(self, unit)
  return unit
end

--- Compiles a template of the source, with all that it refers to, and renders nothing.
---@param name string
---@return TemplateError|nil
function Environment:check(name)
  local ok, unit = pcall(prepare, self, name)
  if not ok then return as_error(unit, name) end
  return units.check(unit)
end

--- Renders a template of the source.
---@param name string
---@param context? table
---@return string|nil text
---@return TemplateError|nil
function Environment:render(name, context)
  context = check_context(context)
  local ok, unit = true, self.units:peek(name)
  if not unit or not unit.functions or unit.text ~= self.source.read(name) then
    ok, unit = pcall(prepare, self, name)
  end
  if not ok then return nil, as_error(unit, name) end
  return units.render(self, unit, context)
end

local function prepare_text(self, name, text)
  local unit = units.new(self, name, text, function() end)
  units.link(self, unit)
  return unit
end

--- Compiles a text. The same text under the same name is compiled once.
---@param text string
---@param name? string  for errors and for escaping; without one the output is escaped
---@return (fun(context?: table): string?, TemplateError?)|nil compiled
---@return TemplateError|nil
function Environment:compile(text, name)
  if type(text) ~= "string" then error("a template's text is a string", 2) end
  name = name or NAMELESS
  local key = name .. "\0" .. text
  local compiled = self.texts:get(key)
  if compiled then return compiled end
  local ok, unit = pcall(prepare_text, self, name, text)
  if not ok then return nil, as_error(unit, name) end
  function compiled(context)
    return units.render(self, unit, check_context(context))
  end
  self.texts:put(key, compiled, #key)
  return compiled
end

--- Counters of the cache of compiled texts.
---@return { entries: integer, hits: integer, misses: integer, dropped: integer }
function Environment:stats()
  local texts = self.texts
  return { entries = texts:size(), hits = texts.hits, misses = texts.misses,
    dropped = texts.dropped }
end

local function merge_limits(strict, given)
  local limits = {}
  for key, default in pairs(strict and STRICT_LIMITS or DEFAULT_LIMITS) do limits[key] = default end
  for key, n in pairs(given or {}) do
    if not limits[key] then
      error(("no limit '%s'%s"):format(key, errors.suggest(key, limits)), 3)
    end
    if type(n) ~= "number" or n <= 0 then error(("the limit '%s' is a number"):format(key), 3) end
    limits[key] = key == "ms" and n or math.tointeger(n // 1)
  end
  return limits
end

local OPTIONS <const> = { source = true, autoescape = true, strict = true, limits = true,
  filters = true, tests = true, functions = true }

--- A set of templates that know one another, with their filters and limits.
---@param options? TemplateOptions
---@return TemplateEnvironment
function template.environment(options)
  options = options or {}
  for key in pairs(options) do
    if not OPTIONS[key] then
      error(("no option '%s'%s"):format(tostring(key), errors.suggest(tostring(key), OPTIONS)), 2)
    end
  end
  local autoescape = options.autoescape
  if autoescape == nil then autoescape = SUFFIXES end
  return setmetatable({
    source = source.new(options.source),
    autoescape = autoescape,
    strict = options.strict or false,
    limits = merge_limits(options.strict, options.limits),
    extensions = extensions.new(options),
    units = cache.new(CACHE_ENTRIES, CACHE_BYTES), texts = cache.new(CACHE_ENTRIES, CACHE_BYTES),
  }, Environment)
end

local shared

--- The environment of strangers' templates, one per VM: no other templates, everything escaped,
--- strict limits, the filters of lua/filters/.
---@return TemplateEnvironment
function template.strict()
  shared = shared or template.environment { strict = true, autoescape = true }
  return shared
end

template.escape = print.escape

return template
