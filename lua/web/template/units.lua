-- Templates of an environment, loaded and linked. A unit is one template: text, tree, and, once it
-- is first run, its Lua functions. Units refer to others (parents, imports, includes) by name; X[i]
-- of a unit's code is resolved when it is first read.
--
-- Positions in the code are unique in the process: a unit's base + byte offset, so that an error's
-- position tells the unit. What a unit's code can reach: the helpers, X, and its arguments.
local compiler = require "web.template.compiler"
local errors = require "web.template.errors"
local fail = require "web.template.fail"
local parser = require "web.template.parser"
local runtime = require "web.template.runtime"
local utf8_valid = require("web.template.text").valid

local units = {}

local setmetatable, pcall, load, type, rawset = setmetatable, pcall, load, type, rawset
local open, take, tick = runtime.open, runtime.take, runtime.tick

---@class TemplateUnit
---@field name string
---@field text string
---@field base integer
---@field parents TemplateUnit[]  from the nearest to the root
---@field needs table<TemplateUnit, true>

local next_base = 0

local function parse(env, name, text)
  if #text > env.limits.source then
    error(errors.new({ limit = "source", message = ("the template has %d bytes; at most %d are "
      .. "possible"):format(#text, env.limits.source) }, name), 0)
  end
  local valid, broken = utf8_valid(text)
  if not valid then
    error(errors.new({ message = "the template is not UTF-8", at = broken }, name, text), 0)
  end
  local ok, tree = pcall(parser.parse, text, env.limits.depth, env.limits.tokens)
  if not ok then
    if type(tree) ~= "table" then error(tree, 0) end
    error(errors.new(tree, name, text), 0)
  end
  return tree
end

local function refuse(unit, at, message)
  error(errors.new({ message = message, at = at }, unit.name, unit.text), 0)
end

-- The chain of parents; a template that extends itself through others never ends, and is refused.
local function load_parents(env, unit)
  local seen = { [unit] = true }
  local child = unit
  while child.tree.extends do
    local extends = child.tree.extends
    local parent = env:unit(extends.name)
    if not parent then
      refuse(child, extends.at, ("the parent '%s' does not exist%s"):format(extends.name,
        env:suggest_template(extends.name)))
    end
    if seen[parent] then
      refuse(child, extends.at, ("'%s' and '%s' extend one another"):format(unit.name, parent.name))
    end
    seen[parent] = true
    unit.parents[#unit.parents + 1] = parent
    unit.needs[parent] = true
    child = parent
  end
end

local function load_imports(env, unit)
  for _, import in ipairs(unit.tree.imports) do
    local other = env:unit(import.file)
    if not other then
      refuse(unit, import.at, ("the imported '%s' does not exist%s"):format(import.file,
        env:suggest_template(import.file)))
    end
    unit.spaces[import.space] = other
    unit.needs[other] = true
  end
end

-- Where `space::name` is defined: by the file of the call, or by a parent's imports.
local function find_macro(unit, space, name)
  local holder = space == "self" and unit or unit.spaces[space]
  if not holder then
    for _, parent in ipairs(unit.parents) do
      holder = holder or parent.spaces[space]
    end
  end
  if not holder then
    return nil, ("no file is imported as '%s'%s"):format(space, errors.suggest(space, unit.spaces))
  end
  local macro = holder.tree.macros[name]
  if not macro then
    return nil, ("'%s' has no macro '%s'%s"):format(holder.name, name,
      errors.suggest(name, holder.tree.macros))
  end
  return holder, macro
end

-- Resolving X[i] -------------------------------------------------------------------------------

local resolve = {}

local function unknown(sort, name, known)
  fail.raise(("unknown %s '%s'%s"):format(sort, name, errors.suggest(name, known)))
end

for _, sort in ipairs { "filter", "test", "function" } do
  resolve[sort] = function(env, _, spec)
    local call = env:callable(sort, spec.name)
    if not call then unknown(sort, spec.name, env:known(sort)) end
    return call
  end
end

function resolve.macro(env, unit, spec)
  local holder = find_macro(unit, spec.space, spec.name)
  units.link(env, holder)
  unit.needs[holder] = true
  return holder.functions["macro_" .. spec.name]
end

function resolve.include(env, unit, spec)
  for _, name in ipairs(spec.names) do
    local other = env:unit(name)
    if other then
      if other.tree.extends then
        fail.raise(("'%s' can't be included: it extends another template"):format(name))
      end
      units.link(env, other)
      unit.needs[other] = true
      local main, blocks = other.functions.main, other.blocks
      return function(R, O, ctx) return main(R, O, ctx, {}, blocks) end
    end
  end
  if spec.optional then return function() end end
  fail.raise(("template '%s' not found%s"):format(table.concat(spec.names, "', '"),
    env:suggest_template(spec.names[1])))
end

local function externals(env, unit, specs)
  return setmetatable({}, { __index = function(X, i)
    local spec = specs[i]
    local ok, found = pcall(resolve[spec.sort], env, unit, spec)
    if not ok then
      -- An engine error has no place yet: it is where the name stands. A TemplateError has its own.
      if type(found) == "table" and not found.name then found.at = spec.at end
      error(found, 0)
    end
    rawset(X, i, found)
    return found
  end })
end

-- The definitions of each block, nearest to the entry first.
local function merge_blocks(unit)
  local blocks = {}
  local function add(from)
    for name, function_name in pairs(from.block_functions) do
      blocks[name] = blocks[name] or {}
      table.insert(blocks[name], from.functions["block_" .. function_name])
    end
  end
  add(unit)
  for _, parent in ipairs(unit.parents) do add(parent) end
  return blocks
end

--- Makes a unit's functions, and those of its parents.
---@param env table
---@param unit TemplateUnit
function units.link(env, unit)
  if unit.functions then return end
  local source, specs, block_functions, sets = compiler.compile {
    tree = unit.tree, base = unit.base, strict = env.strict,
    find_macro = function(space, name)
      local holder, macro = find_macro(unit, space, name)
      if not holder then return nil, macro end
      return macro.parameters
    end,
    is_safe = function(sort, name) return env:is_safe(sort, name) end,
    is_custom = function(sort, name) return env:custom(sort, name) ~= nil end,
  }
  local chunk, problem = load(source, "=template", "t", {})
  if not chunk then
    error(errors.new({
      limit = "depth",
      message = "the template is too complex for the compiler: "
        .. problem:gsub("^[^:]*:%d+: ", ""),
    }, unit.name), 0)
  end
  unit.specs, unit.externals = specs, externals(env, unit, specs)
  unit.functions = chunk(runtime, unit.externals)
  unit.block_functions, unit.sets = block_functions, sets
  for _, parent in ipairs(unit.parents) do units.link(env, parent) end
  unit.blocks = merge_blocks(unit)
  unit.main = (unit.parents[#unit.parents] or unit).functions.main
end

--- A template's text as a unit; raises a TemplateError.
---@param env table
---@param name string
---@param text string
---@param register fun(unit: TemplateUnit)  called before others are loaded, for circles of imports
---@return TemplateUnit
function units.new(env, name, text, register)
  local tree = parse(env, name, text)
  local unit = { name = name, text = text, tree = tree, base = next_base, parents = {}, spaces = {},
    needs = {}, escapes = env:escapes(name) }
  next_base = next_base + #text + 2
  register(unit)
  load_parents(env, unit)
  load_imports(env, unit)
  return unit
end

-- The unit, among those that `unit` needs, that a position belongs to.
local function owner(unit, at, seen)
  if at > unit.base and at <= unit.base + #unit.text + 1 then return unit end
  seen[unit] = true
  for other in pairs(unit.needs) do
    local found = not seen[other] and owner(other, at, seen)
    if found then return found end
  end
end

-- What a filter, or Lua, raised: as a TemplateError.
local function explain(unit, R, raised)
  if type(raised) == "table" and raised.name then return raised end
  if type(raised) == "string" and raised:find("stack overflow", 1, true) then
    raised = { message = "macros and includes nest too deeply", limit = "depth" }
  end
  local message = type(raised) == "table" and raised.message or tostring(raised)
  local at = type(raised) == "table" and raised.at or R[1]
  local where = at and owner(unit, at, {}) or unit
  local limit = type(raised) == "table" and raised.limit or nil
  return errors.new({ message = message, limit = limit, at = at and at > where.base
    and at - where.base or nil }, where.name, where.text)
end

local function resolve_all(unit, seen)
  seen[unit] = true
  for i in ipairs(unit.specs) do
    local _ = unit.externals[i]
  end
  for other in pairs(unit.needs) do
    if not seen[other] then resolve_all(other, seen) end
  end
  for _, parent in ipairs(unit.parents) do
    if not seen[parent] then resolve_all(parent, seen) end
  end
end

--- Finds every filter, test, function, macro and template that a linked unit names, which a render
--- does for those it comes to.
---@param unit TemplateUnit
---@return TemplateError|nil
function units.check(unit)
  local ok, raised = pcall(resolve_all, unit, {})
  return not ok and explain(unit, { 0 }, raised) or nil
end

-- Renders one after another share one state and its output; one inside of another (a filter that
-- renders) makes its own.
local spare

-- The frame of a template in which nothing is ever set.
local NO_SETS <const> = setmetatable({}, {
  __newindex = function() error("nothing is set here", 2) end,
})

local function execute(unit, R, O, context)
  unit.main(R, O, context, unit.sets and {} or NO_SETS, unit.blocks)
  return take(O, 0)
end

--- Renders.
---@param env table
---@param unit TemplateUnit
---@param context table
---@return string|nil text
---@return TemplateError|nil
function units.render(env, unit, context)
  local limits = env.limits
  local R = spare or { 0, 0, 0, tick = tick }
  spare = nil
  local O = open(R.O, limits.bytes, unit.escapes)
  R[1], R[2], R[3] = 0, 0, 0
  R.O, R.root, R.limits, R.left, R.slice, R.deadline = O, context, limits, limits.steps, 0, false
  local ok, text = pcall(execute, unit, R, O, context)
  local err
  if not ok then text, err = nil, explain(unit, R, text) end
  R.root = nil
  spare = R
  return text, err
end

return units
