-- Variables as Lua source: where a name can be found from a place in a template, and the steps of a
-- path into a value. Part of emit.lua's work; `g` is the generator.
local writer = require "web.template.writer"

local paths = {}

local quote, literal = writer.quote, writer.literal
local fmt, find = string.format, string.find

local INLINE_STEPS <const> = 4

-- Scopes ---------------------------------------------------------------------------------------

local function loop_field(scope, field)
  local i, n = scope.index, scope.count
  if field == "index" then return i, "count" end
  if field == "index0" then return fmt("(%s-1)", i), "count" end
  if field == "first" then return fmt("(%s==1)", i), "bool" end
  if field == "last" then return fmt("(%s==%s)", i, n), "bool" end
  if field == "length" then return n, "count" end
end

-- Where a name can be found, innermost first: a list of { code, kind, certain, fields }. A certain
-- candidate always has a value; `fields` is a table that can be indexed without asking.
local function candidates(g, name, parts)
  local list = {}
  local scope = g.scope
  local plain = #parts == 0
  while scope do
    local set = scope.sets and scope.sets[name]
    if set then list[#list + 1] = { code = set } end
    if scope.op == "loop" then
      if name == "loop" and #parts == 1 and type(parts[1]) == "string" then
        local code, kind = loop_field(scope, parts[1])
        if code then
          list[#list + 1] = { code = code, kind = kind, certain = true, whole = true }
          return list
        end
      end
      if name == scope.key and plain then
        list[#list + 1] = { code = scope.key_code, kind = "str", certain = true }
        return list
      end
      if name == scope.value then
        list[#list + 1] = { code = scope.value_code, certain = plain, fields = scope.fields_code,
          kind = scope.value_kind }
        if plain then return list end
      end
    else
      local argument = scope.arguments and scope.arguments[name]
      if argument and g.frame_names[name] then
        list[#list + 1] = { code = fmt("F[%s]", quote(name)) }
      end
      if argument then
        list[#list + 1] = { code = argument, certain = plain }
        if plain then return list end
      elseif scope.frame_may_have(name) then
        list[#list + 1] = { code = fmt("F[%s]", quote(name)) }
      end
    end
    scope = scope.parent
  end
  if name == "loop" and #parts == 1 then
    -- An included template sees the includer's loop under a key that no name can be.
    list[#list + 1] = { code = fmt("(ctx[true] and ctx[true][%s])", quote(tostring(parts[1]))),
      whole = true }
  end
  list[#list + 1] = { code = fmt("ctx[%s]", quote(name)) }
  return list
end

-- The names in reach of an expression, for messages; the same for all of a scope.
local function names_in_reach(g)
  if g.scope.names_code then return g.scope.names_code end
  local names, seen = {}, {}
  local scope = g.scope
  local function add(name)
    if name and not seen[name] then
      seen[name] = true
      names[#names + 1] = fmt("[%s]=true", quote(name))
    end
  end
  while scope do
    for name in pairs(scope.sets or {}) do add(name) end
    for name in pairs(scope.arguments or {}) do add(name) end
    add(scope.key)
    add(scope.value)
    scope = scope.parent
  end
  for name in pairs(g.frame_names) do add(name) end
  table.sort(names)
  local code = #names > 100 and "nil" or g.w:constant("{" .. table.concat(names, ",") .. "}")
  g.scope.names_code = code
  return code
end

-- Paths ----------------------------------------------------------------------------------------

local function is_field(part)
  return type(part) == "string" and not find(part, "^%d")
end

-- Statements that walk from `base` into the temporary `t`.
local function emit_walk(g, t, base, fields, steps)
  local w = g.w
  local static = true
  for _, step in ipairs(steps) do
    if not step.field then static = false end
  end
  if static and #steps <= INLINE_STEPS then
    local from = 1
    if fields then
      w:line(fmt("%s = %s[%s]", t, fields, steps[1].code))
      from = 2
    else
      w:line(fmt("%s = %s", t, base))
    end
    for i = from, #steps do
      w:line(fmt('if type(%s) == "table" then %s = %s[%s] else %s = nil end', t, t, t,
        steps[i].code, t))
    end
    return
  end
  local all_constant = true
  local codes = {}
  for i, step in ipairs(steps) do
    codes[i] = step.code
    if step.dynamic then all_constant = false end
  end
  local list = "{" .. table.concat(codes, ",") .. "}"
  if #steps == 1 then
    w:line(fmt("%s = index(%s, %s)", t, base, codes[1]))
  else
    w:line(fmt("%s = walk(%s, %s)", t, base, all_constant and g.w:constant(list) or list))
  end
end

-- A path as data, for the slow look-up and its message.
local function path_constant(g, node)
  local parts = {}
  for i, part in ipairs(node.parts) do
    parts[i] = type(part) == "table" and "{}" or type(part) == "string" and quote(part)
      or literal(part)
  end
  return g.w:constant(fmt("{text=%s,name=%s,parts={%s}}", quote(node.text), quote(node.name),
    table.concat(parts, ",")))
end

local function steps_code(steps)
  local codes = {}
  for i, step in ipairs(steps) do codes[i] = step.code end
  return table.concat(codes, ",")
end

-- The steps of a path; keys in brackets are computed once, before any lookup.
local function path_steps(g, node, soft)
  local steps = {}
  for i, part in ipairs(node.parts) do
    if type(part) == "table" then
      local key = paths.emit(g, part, true)
      if soft then
        key = g.w:temporary(fmt("%s", key))
        g.w:line(fmt('if type(%s) ~= "string" and mtype(%s) ~= "integer" then %s = false end', key,
          key, key))
      else
        key = g.w:temporary(fmt("key(%s, %d, %s)", key, g.base + part.at, quote(part.text)))
      end
      steps[i] = { code = key, dynamic = true }
    elseif is_field(part) then
      steps[i] = { code = quote(part), field = true }
    elseif type(part) == "string" then
      steps[i] = { code = quote(part) }
    else
      steps[i] = { code = literal(part) }
    end
  end
  return steps
end

local function emit_dump(g)
  local names = paths.visible(g)
  return g.w:temporary(fmt("dump(R, %s, %s, %s)", g.macro and "nil" or "ctx", "F", names)), "str"
end

--- A variable. `soft`: undefined is nil instead of an error.
function paths.emit(g, node, soft)
  local w = g.w
  if node.name == "__tera_context" and #node.parts == 0 and not g.strict then
    return emit_dump(g)
  end
  local list = candidates(g, node.name, node.parts)
  local first = list[1]
  if first.certain then return first.code, first.kind end
  local steps = path_steps(g, node, soft)
  local t
  local saved
  for i, candidate in ipairs(list) do
    -- A path in the context, after others that could have it: the slow look-up's business.
    if i > 1 and i == #list and #steps > 0 then break end
    if i == 2 then saved = w:open(fmt("if %s == nil then", t)) end
    if i > 2 then w:line(fmt("if %s == nil then", t)) end
    if candidate.whole or #steps == 0 then
      if t then w:line(fmt("%s = %s", t, candidate.code)) end
      t = t or w:temporary(candidate.code)
    else
      t = t or w:temporary()
      emit_walk(g, t, candidate.code, candidate.fields, steps)
    end
    if i > 2 then w:line "end" end
    if candidate.certain then break end
  end
  if saved then w:close(saved) end
  if soft and #steps == 0 then return t, first.kind end
  -- Rare, hence out of line: a name that an include or a loop hides, of which only the outer one
  -- has the whole path; or no such variable.
  w:line(fmt("if %s == nil then %s = %s(R, ctx, %s, {%s}, %d, %s) end", t, t,
    soft and "further" or "lost", path_constant(g, node), steps_code(steps), g.base + node.at,
    soft and "nil" or names_in_reach(g)))
  return t, first.kind
end

-- Includes and the dump -----------------------------------------------------------------------

-- What a name means outside of the loop whose `set` of it did not happen yet.
local function shadowed(scope, name)
  while scope do
    if scope.op == "loop" then
      if name == scope.value then return scope.value_code end
      if name == scope.key then return scope.key_code end
    elseif scope.arguments and scope.arguments[name] then
      return fmt("either(F[%s], %s)", quote(name), scope.arguments[name])
    end
    scope = scope.parent
    if scope and scope.sets and scope.sets[name] then return scope.sets[name] end
  end
  return fmt("F[%s]", quote(name))
end

--- The names in reach with their values, as the code of a table: for includes and the dump.
function paths.visible(g)
  local fields, seen = {}, {}
  local scope = g.scope
  local function add(name, code)
    if name and not seen[name] then
      seen[name] = true
      fields[#fields + 1] = fmt("[%s]=%s", quote(name), code)
    end
  end
  local looped = false
  while scope do
    for name, code in pairs(scope.sets or {}) do
      if not seen[name] then
        seen[name] = true
        local below = shadowed(scope, name)
        fields[#fields + 1] = fmt("[%s]=either(%s, %s)", quote(name), code, below)
      end
    end
    if scope.op == "loop" then
      add(scope.value, scope.value_code)
      add(scope.key, scope.key_code)
      if not looped then
        looped = true
        local i, n = scope.index, scope.count
        fields[#fields + 1] = fmt(
          "[true]={index=%s,index0=%s-1,first=%s==1,last=%s==%s,length=%s}", i, i, i, i, n, n)
      end
    end
    for name, code in pairs(scope.arguments or {}) do
      if not seen[name] then
        seen[name] = true
        fields[#fields + 1] = fmt("[%s]=either(F[%s], %s)", quote(name), quote(name), code)
      end
    end
    scope = scope.parent
  end
  table.sort(fields)
  return "{" .. table.concat(fields, ",") .. "}"
end

return paths
