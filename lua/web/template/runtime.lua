-- What generated code calls. A render's state is one table R, passed to every generated function:
--
--   R[1]  the position of the last call that may fail (absolute, see units.lua)
--   R[2]  steps left in this slice; below zero, `tick` takes the next slice and looks at the clock
--   R[3]  depth of macro calls and includes
--   R.root, R.O        the context; the output, whose limit is that of bytes
--   R.left, R.slice, R.deadline, R.limits   what is left of the limits
--
-- Values of a context are read with plain indexing, so a string, number or function is never
-- indexed: every step of a path asks for a table first.
local host = require "host.template"
local encode = require("web.template.encode").encode
local steady = require("web.template.clock").steady
local errors = require "web.template.errors"
local number = require "web.template.number"
local print = require "web.template.print"
local text = require "web.template.text"
local value = require "web.template.value"

local runtime = {}

local SLICE <const> = 1000
-- Bytes that cost one step: work on long strings counts like work in loops.
local BYTES_PER_STEP <const> = 64
local SEARCH_BYTES_PER_STEP <const> = 8192
local LONG_STRING <const> = 4096

local null <const> = value.null
local is_array, describe, index = value.is_array, value.describe, value.index
local type, pairs, next, rawget = type, pairs, next, rawget
local getmetatable, setmetatable = getmetatable, setmetatable
local mtype = math.type
local raise = errors.raise

runtime.null = null
runtime.type, runtime.mtype = type, mtype
runtime.index, runtime.truth, runtime.equal = index, value.truth, value.equal
-- What a loop's value that is no table is indexed as.
runtime.EMPTY = setmetatable({}, { __newindex = function() error("EMPTY is shared", 2) end })

-- Limits ---------------------------------------------------------------------------------------

local function over(kind, at, message)
  error({ message = message, at = at, limit = kind }, 0)
end

--- The slice of steps is used up.
---@param R table
local function tick(R)
  local limits = R.limits
  R.left = R.left - (R.slice - R[2])
  if R.left < 0 then
    over("steps", R[1], ("this template takes more than %d steps"):format(limits.steps))
  end
  local now = steady()
  -- The clock is first read at the first iteration: a template without any is not worth it.
  R.deadline = R.deadline or now + limits.ms / 1000
  if now > R.deadline then
    over("ms", R[1], ("this template takes longer than %d ms"):format(limits.ms))
  end
  R.slice = R.left < SLICE and R.left or SLICE
  R[2] = R.slice
end
runtime.tick = tick

--- Counts n steps of work inside of a filter.
---@param R table
---@param n integer
local function charge(R, n)
  R[2] = R[2] - n
  if R[2] < 0 then tick(R) end
end
runtime.charge = charge

--- Refuses a string of n bytes before it is made; counts the work.
---@param R table
---@param n integer
local function reserve(R, n)
  if n > R.limits.bytes then
    over("bytes", R[1], ("a value of %d bytes is larger than %d"):format(n, R.limits.bytes))
  end
  if n > BYTES_PER_STEP then charge(R, n // BYTES_PER_STEP) end
end
runtime.reserve = reserve

--- Before a search of `needle`: what it costs at worst, when the text is almost the needle.
---@param R table
---@param haystack string
---@param needle string
function runtime.search(R, haystack, needle)
  charge(R, #haystack * #needle // SEARCH_BYTES_PER_STEP)
end

--- A string that came out of `~`.
function runtime.joined(R, s, at)
  if #s > LONG_STRING then
    R[1] = at
    reserve(R, #s)
  end
end
runtime.LONG_STRING = LONG_STRING

--- Enters a macro or an include.
function runtime.enter(R, at)
  local depth = R[3] + 1
  if depth > R.limits.depth then
    over("depth", at, ("macros and includes nest more than %d deep"):format(R.limits.depth))
  end
  R[1], R[3] = at, depth
  R[2] = R[2] - 1
  if R[2] < 0 then tick(R) end
end

--- What a section or macro wrote since `mark`, as a string.
function runtime.finish(R, O, mark)
  local written = runtime.take(O, mark)
  reserve(R, #written)
  return written
end

-- Errors ---------------------------------------------------------------------------------------

runtime.raise = raise

-- Where a path stops to exist, and what was probably meant.
local function missing(R, path, scope)
  local known = {}
  for name in pairs(scope or known) do known[name] = true end
  local context = R.root
  local base = context[path.name]
  if base == nil then
    for name in pairs(context) do known[name] = true end
    if known[path.name] and #path.parts == 0 then return "" end
    return errors.suggest(path.name, known)
  end
  for _, part in ipairs(path.parts) do
    if type(part) == "table" then return "" end
    local below = index(base, part)
    if below == nil then
      if type(base) ~= "table" then
        return (" ('%s' is asked of %s)"):format(part, describe(base))
      end
      if is_array(base) then
        return (" (the array has %d elements, counted from 0)"):format(#base)
      end
      return errors.suggest(tostring(part), base)
    end
    base = below
  end
  return ""
end

--- The value of a path in brackets must be a key.
function runtime.key(k, at, path)
  local t = type(k)
  if t == "string" or mtype(k) == "integer" and k >= 0 then return k end
  if k == nil then raise(at, ("variable '%s' not found"):format(path)) end
  raise(at, ("only a string or an integer from 0 can be a key, '%s' is %s")
    :format(path, describe(k)))
end

-- Paths ----------------------------------------------------------------------------------------

--- Several static steps.
function runtime.walk(v, parts)
  for i = 1, #parts do
    v = index(v, parts[i])
    if v == nil then return nil end
  end
  return v
end

--- What an included template sees: the includer's names before the context.
function runtime.scope(context, frame, names)
  for k, v in pairs(frame) do
    if names[k] == nil then names[k] = v end
  end
  return context and setmetatable(names, { __index = context }) or names
end

-- The context behind the names that an include put before it.
local function behind(context)
  local mt = getmetatable(context)
  return mt and type(mt.__index) == "table" and mt.__index or nil
end

--- A path that the nearest holder of its name does not have: the contexts behind it may.
function runtime.further(_, context, path, steps)
  repeat
    local v = rawget(context, path.name)
    if v ~= nil and #path.parts > 0 then
      v = runtime.walk(v, steps)
      if v ~= nil then return v end
    end
    context = behind(context)
  until not context
end

--- A variable that must exist. `names`: the loop variables and sets in reach.
function runtime.lost(R, context, path, steps, at, names)
  local v = runtime.further(R, context, path, steps)
  if v ~= nil then return v end
  raise(at, ("variable '%s' not found%s"):format(path.text, missing(R, path, names)))
end

--- The first of two that is there.
function runtime.either(a, b)
  if a ~= nil then return a end
  return b
end

function runtime.append(list, more)
  local n = #list
  for i = 1, #more do list[n + i] = more[i] end
end

runtime.array = value.array

-- Arithmetic -----------------------------------------------------------------------------------

local handlers = {}

function handlers.numbers(operator, a, b, at)
  local side, v = "left", a
  if mtype(a) then side, v = "right", b end
  local hint = type(v) == "string" and " (the filters `int` and `float` convert)" or ""
  raise(at, ("'%s' needs numbers, its %s side is %s%s"):format(operator, side, describe(v), hint))
end

function handlers.overflow(operator, a, b, at)
  raise(at, ("%d %s %d does not fit into 64 bits"):format(a, operator, b))
end

function handlers.modulo(_, a, _, at)
  raise(at, ("%d %% 0: modulo by zero"):format(a))
end

--- An operand of `<` and the like that is no number.
function handlers.unordered(a, b, at, operator)
  if not mtype(a) or not mtype(b) then handlers.numbers(operator, a, b, at) end
  raise(at, ("'%s' can't compare NaN, the result of a division by zero"):format(operator))
end

handlers.print = print.text

function handlers.over(limit)
  error({ message = ("this template produces more than %d bytes"):format(limit), limit = "bytes" },
    0)
end

for name, f in pairs(host.connect(handlers)) do runtime[name] = f end

function runtime.neg(a, at)
  local kind = mtype(a)
  if not kind then raise(at, "'-' needs a number, got " .. describe(a)) end
  if a == math.mininteger and kind == "integer" then handlers.overflow("-", 0, a, at) end
  return -a
end

-- Strings --------------------------------------------------------------------------------------

--- A part of a `~` chain: floats keep JSON's form.
function runtime.part(v, at)
  if type(v) == "string" then return v end
  local kind = mtype(v)
  if kind == "integer" then return v end
  if kind == "float" then return v ~= v and "NaN" or number.json(v) end
  raise(at, "'~' joins strings and numbers, found " .. describe(v)
    .. " (the filter `as_str` makes a string of anything)")
end

--- `needle in container`
function runtime.contains(R, needle, container, at)
  if type(container) == "string" then
    if type(needle) ~= "string" then
      raise(at, "only a string can be `in` a string, not " .. describe(needle))
    end
    reserve(R, #container)
    runtime.search(R, container, needle)
    return container:find(needle, 1, true) ~= nil
  end
  if type(container) ~= "table" then
    raise(at, "`in` needs a string, an array or an object at its right, not "
      .. describe(container))
  end
  if is_array(container) then
    charge(R, #container // 8)
    for i = 1, #container do
      if value.same(container[i], needle, R) then return true end
    end
    return false
  end
  if type(needle) ~= "string" then
    raise(at, "only a string can be `in` an object, not " .. describe(needle))
  end
  return container[needle] ~= nil
end

--- A function as a condition.
function runtime.boolean(v, at, name)
  if type(v) == "boolean" then return v end
  raise(at, ("the function '%s' is used as a condition, but returned %s"):format(name, describe(v)))
end

-- Loops ----------------------------------------------------------------------------------------

--- What `for x in v` runs over: a list and its length.
function runtime.each(R, v, at)
  R[1] = at
  if type(v) == "table" then
    if is_array(v) then return v, #v end
    if next(v) == nil then return v, 0 end
    raise(at, "an object needs two names: `for key, value in ...`")
  end
  if type(v) == "string" then
    reserve(R, #v)
    return text.graphemes(v)
  end
  raise(at, "a loop needs an array, an object or a string, not " .. describe(v))
end

--- What `for k, x in v` runs over: the object, its keys in byte order, their number.
function runtime.entries(R, v, at)
  R[1] = at
  if type(v) ~= "table" then
    raise(at, "a loop with two names needs an object, not " .. describe(v))
  end
  if is_array(v) and (#v > 0 or next(v) ~= nil) then
    raise(at, "a loop with two names needs an object; an array takes one, and `loop.index0`")
  end
  local keys, n = value.keys(v)
  charge(R, n // 4)
  return v, keys, n
end

local function natural(v, name, at)
  if mtype(v) == "integer" and v >= 0 then return v end
  raise(at, ("`range` needs an integer from 0 for `%s`, got %s"):format(name, describe(v)))
end

--- What `range(start, end, step_by)` runs over: how many numbers, the first, the step.
function runtime.span(R, first, stop, step, at)
  R[1] = at
  if stop == nil then raise(at, "`range` needs `end=`") end
  first = first == nil and 0 or natural(first, "start", at)
  stop = natural(stop, "end", at)
  step = step == nil and 1 or natural(step, "step_by", at)
  if first > stop then
    raise(at, ("`range` starts at %d, after its end %d"):format(first, stop))
  end
  if step == 0 then raise(at, "`range` with `step_by=0` never ends") end
  return (stop - first + step - 1) // step, first, step
end

-- The context as text --------------------------------------------------------------------------

--- `__tera_context`: everything in reach as JSON, two spaces, sorted.
function runtime.dump(R, context, frame, names)
  local all = runtime.scope(nil, frame, names)
  all[true] = nil
  while context do
    for k, v in pairs(context) do
      if all[k] == nil and k ~= true then all[k] = v end
    end
    context = behind(context)
  end
  return encode(all, true, function(n) charge(R, n) end)
end

-- Conditions that swallow errors ---------------------------------------------------------------

--- A variable with filters as a condition: an error in it makes it false, a limit does not.
function runtime.try(R, f)
  local depth, mark = R[3], runtime.mark(R.O)
  local ok, v = pcall(f)
  if ok then return v end
  if type(v) ~= "table" or v.limit then error(v, 0) end
  R[3] = depth
  runtime.take(R.O, mark)
  return nil
end

return runtime
