-- Expressions as Lua source. `expr(g, node)` writes the statements that compute the value and
-- returns an operand: a local, a literal, something that can be read twice. `condition(g, node)`
-- likewise, for a Lua condition. g is the generator of compiler.lua: a writer, the scope, the unit.
--
-- User's text reaches the source only through writer.quote and as names that are plain identifiers,
-- always as quoted keys; nothing else of a template is ever Lua code.
--
-- Kinds of operands, as far as they are known: "count" (an integer from 0 to 2^31), "int", "num",
-- "str", "bool"; nil: anything.
local paths = require "web.template.paths"
local writer = require "web.template.writer"

local emit = {}

local quote, literal = writer.quote, writer.literal
local fmt = string.format

local expr, condition

-- Arguments and calls --------------------------------------------------------------------------

-- The constructor of an arguments table; constant ones are made once.
local function emit_arguments(g, args)
  if #args == 0 then return g.w:constant "{}" end
  local fields, constant = {}, true
  for i, arg in ipairs(args) do
    local code, _, fixed = expr(g, arg.value)
    if not fixed then constant = false end
    fields[i] = fmt("[%s]=%s", quote(arg.name), code)
  end
  local code = "{" .. table.concat(fields, ",") .. "}"
  return constant and g.w:constant(code) or code
end

local function external(g, sort, node)
  local spec = { sort = sort, name = node.name, at = g.base + node.at }
  return g.w:external(spec, sort .. ":" .. node.name)
end

local function emit_filter(g, value, filter)
  local args = emit_arguments(g, filter.args)
  g.w:line(fmt("R[1] = %d", g.base + filter.at))
  return g.w:temporary(fmt("%s(%s, %s, R)", external(g, "filter", filter), value, args))
end
emit.filter = emit_filter

-- `x | default(value=...)` as the first filter: undefined and null become the default, lazily.
local function emit_default(g, path, filter)
  local w = g.w
  local value = paths.emit(g, path, true)
  local t = w:temporary(value)
  local saved = w:open(fmt("if %s == nil or %s == null then", t, t))
  local default
  for _, arg in ipairs(filter.args) do
    if arg.name == "value" then default = arg.value end
  end
  if default then
    w:line(fmt("%s = %s", t, (expr(g, default))))
  else
    w:line(fmt("raise(%d, \"the filter 'default' needs `value=`\")", g.base + filter.at))
  end
  w:close(saved)
  return t
end

local function emit_filtered(g, node, soft)
  local filters = node.filters
  local value, kind, fixed
  if node.value.op == "path" and filters[1].name == "default" then
    value = emit_default(g, node.value, filters[1])
  elseif node.value.op == "path" then
    value, kind = paths.emit(g, node.value, soft)
  else
    value, kind, fixed = expr(g, node.value)
  end
  for _, filter in ipairs(filters) do
    if filter.name ~= "safe" and filter.name ~= "default" then
      value, kind, fixed = emit_filter(g, value, filter), nil, nil
    end
  end
  return value, kind, fixed
end

local function emit_call(g, node)
  local args = emit_arguments(g, node.args)
  g.w:line(fmt("R[1] = %d", g.base + node.at))
  return g.w:temporary(fmt("%s(%s, R)", external(g, "function", node), args))
end

-- A call of a macro. `direct`: what it writes stays in the output, which costs no string.
local function emit_macro(g, node, direct)
  local parameters, problem = g.find_macro(node.space, node.name)
  if not parameters then
    g.w:line(fmt("do raise(%d, %s) end", g.base + node.at, quote(problem)))
    return '""', "str"
  end
  local given = {}
  for _, arg in ipairs(node.args) do given[arg.name] = arg.value end
  local codes = { "R", direct and "true" or "false" }
  for _, parameter in ipairs(parameters) do
    local value = given[parameter.name] or parameter.default
    if not value then
      g.w:line(fmt("do raise(%d, %s) end", g.base + node.at, quote(fmt(
        "the macro '%s' is missing the argument '%s'", node.name, parameter.name))))
      return '""', "str"
    end
    codes[#codes + 1] = (expr(g, value))
  end
  g.w:line(fmt("enter(R, %d)", g.base + node.at))
  local code = g.w:external({ sort = "macro", space = node.space, name = node.name,
    at = g.base + node.at }, "macro:" .. node.space .. ":" .. node.name)
  local call = fmt("%s(%s)", code, table.concat(codes, ", "))
  local t = not direct and g.w:temporary(call)
  if direct then g.w:line(call) end
  g.w:line "R[3] = R[3] - 1"
  return t, "str"
end

emit.macro = emit_macro

local function emit_test(g, node)
  local value = paths.emit(g, node.path, true)
  if (node.name == "defined" or node.name == "undefined") and #node.args == 0
    and not g.is_custom("test", node.name) then
    local same = (node.name == "defined") == node.negated
    return fmt("(%s %s nil)", value, same and "==" or "~=")
  end
  local codes = {}
  for i, arg in ipairs(node.args) do codes[i] = (expr(g, arg)) end
  g.w:line(fmt("R[1] = %d", g.base + node.at))
  local args = #codes == 0 and g.w:constant "{}" or "{" .. table.concat(codes, ",") .. "}"
  local t = g.w:temporary(fmt("%s(%s, %s, R)", external(g, "test", node), value, args))
  return node.negated and fmt("(not %s)", t) or t
end

-- Operators ------------------------------------------------------------------------------------

local operators = { ["+"] = "add", ["-"] = "sub", ["*"] = "mul", ["/"] = "div", ["%"] = "mod" }

-- Loop counters and small literals, of which a sum or remainder fits and has no sign.
local function is_small(node, kind)
  return kind == "count" or node.op == "int" and node.value >= 0 and node.value < 1 << 31
end

local function emit_arith(g, node)
  local a, ka = expr(g, node.left)
  local b, kb = expr(g, node.right)
  local operator = node.operator
  if is_small(node.left, ka) and is_small(node.right, kb) then
    if operator == "%" and node.right.op == "int" and node.right.value > 0 then
      return fmt("(%s %% %s)", a, b), "int"
    end
    if operator == "+" or operator == "-" or operator == "*" then
      return fmt("(%s %s %s)", a, operator, b), "int"
    end
  end
  local both = ka and kb and ka ~= "num" and kb ~= "num"
  return g.w:temporary(fmt("%s(%s, %s, %d)", operators[operator], a, b, g.base + node.at)),
    both and operator ~= "/" and "int" or "num"
end

-- A `~` chain's part as an operand of `..`.
local function emit_part(g, part)
  local code, kind, fixed = expr(g, part)
  if fixed and part.op == "float" then return quote(g.number_text(part.value)), true end
  if fixed and part.op == "int" then return quote(tostring(part.value)), true end
  if kind == "str" or kind == "int" or kind == "count" then return code, fixed end
  return g.w:temporary(fmt("part(%s, %d)", code, g.base + part.at)), false
end

local function emit_concat(g, node)
  local codes, constant = {}, true
  for _, part in ipairs(node.parts) do
    local code, fixed = emit_part(g, part)
    constant = constant and fixed
    codes[#codes + 1] = code
    -- A concatenation takes a register for each operand.
    if #codes >= 40 then codes = { g.w:temporary(table.concat(codes, " .. ")) } end
  end
  local t = g.w:temporary(table.concat(codes, " .. "))
  if not constant then
    g.w:line(fmt("if #%s > %d then joined(R, %s, %d) end", t, g.long_string, t, g.base + node.at))
  end
  return t, "str"
end

local function emit_compare(g, node)
  local a, ka, fixed_a = expr(g, node.left)
  local b, kb, fixed_b = expr(g, node.right)
  local operator = node.operator
  if operator == "==" or operator == "!=" then
    if fixed_a or fixed_b or ka or kb then
      return fmt("(%s %s %s)", a, operator == "==" and "==" or "~=", b)
    end
    return fmt("%sequal(%s, %s, R)", operator == "!=" and "not " or "", a, b)
  end
  if (ka == "int" or ka == "count") and (kb == "int" or kb == "count") then
    return fmt("(%s %s %s)", a, operator, b)
  end
  local left, right = a, b
  if operator == ">" or operator == ">=" then left, right = b, a end
  return fmt("%s(%s, %s, %d, %s)", #operator == 1 and "less" or "less_equal", left, right,
    g.base + node.at, quote(operator))
end

local function emit_in(g, node)
  local a = expr(g, node.left)
  local b = expr(g, node.right)
  return fmt("%scontains(R, %s, %s, %d)", node.negated and "not " or "", a, b, g.base + node.at)
end

local function emit_array(g, node)
  local codes, constant = {}, true
  local w = g.w
  local t
  for _, item in ipairs(node.items) do
    local code, _, fixed = expr(g, item)
    if not fixed then constant = false end
    codes[#codes + 1] = code
    -- Long arrays grow piece by piece, so that no expression needs many registers.
    if #codes >= 40 and not constant then
      t = t or w:temporary "array({})"
      w:line(fmt("append(%s, {%s})", t, table.concat(codes, ",")))
      codes = {}
    end
  end
  local list = "{" .. table.concat(codes, ",") .. "}"
  if t then
    w:line(fmt("append(%s, %s)", t, list))
    return t
  end
  return w:temporary(fmt("array(%s)", list))
end

local function emit_list(g, node)
  local w = g.w
  local t = w:temporary(condition(g, node.items[1]))
  for i = 2, #node.items do
    local saved = w:open(fmt(node.op == "and" and "if %s then" or "if not %s then", t))
    w:line(fmt("%s = %s", t, condition(g, node.items[i])))
    w:close(saved)
  end
  return t
end

-- Conditions -----------------------------------------------------------------------------------

local function truth(code, kind, fixed)
  if kind == "bool" then return code end
  if kind == "str" then return fmt('(%s ~= "")', code) end
  if (kind == "int" or kind == "count") and not fixed then return fmt("(%s ~= 0)", code) end
  return fmt("(%s == true or truth(%s))", code, code)
end

-- A variable with filters: whatever goes wrong, it is false.
local function emit_guarded(g, node)
  local w = g.w
  local t = w:temporary()
  local outer = w:open_function(fmt("%s = try(R, function()", t), 0)
  local code = emit_filtered(g, node, false)
  w:line("return " .. code)
  w:close_function(outer, "end)")
  return fmt("(%s == true or truth(%s))", t, t)
end

local function only_defaults(filters)
  for _, filter in ipairs(filters) do
    if filter.name ~= "safe" and filter.name ~= "default" then return false end
  end
  return true
end

local boolean_ops = { ["and"] = emit_list, ["or"] = emit_list, compare = emit_compare,
  ["in"] = emit_in, test = emit_test }

function condition(g, node)
  local op = node.op
  if op == "not" then return fmt("(not %s)", condition(g, node.value)) end
  if boolean_ops[op] then return boolean_ops[op](g, node) end
  if op == "path" then return truth(paths.emit(g, node, true)) end
  if op == "filtered" and node.value.op == "path" and not only_defaults(node.filters) then
    return emit_guarded(g, node)
  end
  if op == "filtered" and node.value.op == "path" and node.filters[1].name ~= "default" then
    return truth(paths.emit(g, node.value, true))
  end
  if op == "call" then
    return fmt("boolean(%s, %d, %s)", emit_call(g, node), g.base + node.at, quote(node.name))
  end
  return truth(expr(g, node))
end
emit.condition = condition

-- Expressions ----------------------------------------------------------------------------------

-- `not x | f` as a value: true where x does not exist; an error of the filter is an error.
local function emit_not(g, node)
  local w = g.w
  local path = node.value.op == "path" and node.filters[1].name ~= "default"
  if not path then return w:temporary("not " .. truth(expr(g, node))), "bool" end
  local t = w:temporary "true"
  local value = paths.emit(g, node.value, true)
  local saved = w:open(fmt("if %s ~= nil then", value))
  for _, filter in ipairs(node.filters) do
    if filter.name ~= "safe" and filter.name ~= "default" then
      value = emit_filter(g, value, filter)
    end
  end
  w:line(fmt("%s = not truth(%s)", t, value))
  w:close(saved)
  return t, "bool"
end

local emitters = {
  int = function(_, node) return literal(node.value), "int", true end,
  float = function(_, node) return literal(node.value), "num", true end,
  bool = function(_, node) return literal(node.value), "bool", true end,
  str = function(_, node) return quote(node.value), "str", true end,
  path = function(g, node) return paths.emit(g, node, false) end,
  filtered = function(g, node) return emit_filtered(g, node, false) end,
  call = emit_call, macro = function(g, node) return emit_macro(g, node, false) end,
  arith = emit_arith, concat = emit_concat,
  array = emit_array,
  neg = function(g, node)
    local a, kind = expr(g, node.value)
    local whole = kind and kind ~= "num"
    return g.w:temporary(fmt("neg(%s, %d)", a, g.base + node.at)), whole and "int" or "num"
  end,
}

function expr(g, node)
  local emitter = emitters[node.op]
  if emitter then return emitter(g, node) end
  if node.op == "not" and node.value.op == "filtered" then return emit_not(g, node.value) end
  return g.w:temporary(condition(g, node)), "bool"
end
emit.expr = expr

return emit
