-- The grammar of expressions, by recursive descent over the tokens; every step consumes a token, so
-- nested parentheses cost their length and no more. Loosest to tightest:
--
--   logic       and-list { "or" and-list }
--   and-list    negation { "and" negation }
--   negation    ["not"] comparison | "(" logic ")"
--   comparison  side [ ["not"] "in" container | ("==" "!=" "<" "<=" ">" ">=") side ]
--   side        text | sum
--   text        part { "~" part } { "|" filter }          strings and chains stay out of arithmetic
--   sum         group { operator group }                  a filter ends a group
--   group       operand { operator operand } { "|" filter }
--   operand     literal | path ["is" ["not"] test] | call | ns::macro | "-" operand | "(" sum ")"
--
-- A node is a table { op = ..., at = byte offset }. Every parse function returns the node and its
-- class: "basic" (may be an operand in parentheses), "filtered", "text", or "logic".
local cursor = require "web.template.cursor"
local errors = require "web.template.errors"

local expressions = {}

local raise = errors.raise
local sub = string.sub
local found, fail, accept, expect = cursor.found, cursor.fail, cursor.accept, cursor.expect
local is_word, accept_operator = cursor.is_word, cursor.accept_operator
local enter, leave = cursor.enter, cursor.leave

local parse_logic

-- Literals and paths ---------------------------------------------------------------------------

local function integer(p, sign, at)
  local text = sign .. p.value[p.i]
  -- Digits beyond 64 bits become a float in Lua: those are refused.
  local n = math.tointeger(tonumber(text))
  if not n or math.type(tonumber(text)) ~= "integer" then
    if text ~= "-9223372036854775808" then
      raise(at, ("the integer %s does not fit into 64 bits"):format(text))
    end
    n = math.mininteger
  end
  p.i = p.i + 1
  return { op = "int", value = n, at = at }
end

local function float(p, sign, at)
  local x = tonumber(sign .. p.value[p.i])
  if x - x ~= 0 then raise(at, "this float is too large") end
  p.i = p.i + 1
  return { op = "float", value = x, at = at }
end

local booleans = { ["true"] = true, ["True"] = true, ["false"] = false, ["False"] = false }

local parse_path

-- Inside of `[ ]`: a quoted key, an index, or a path whose value is one.
local function parse_bracket(p)
  local open = p.i
  p.i = p.i + 1
  local kind, value, at = p.kind[p.i], p.value[p.i], p.from[p.i]
  local part
  if p.from[p.i] ~= p.to[open] then raise(at, "no spaces are possible inside of '[ ]'") end
  if kind == "string" then
    if sub(p.source, at, at) == "`" then
      raise(at, "a key in '[ ]' takes double or single quotes")
    end
    part = value
    p.i = p.i + 1
  elseif kind == "int" then
    part = integer(p, "", at).value
  elseif kind == "name" or kind == "path" then
    enter(p)
    part = parse_path(p)
    leave(p)
  else
    fail(p, "a quoted key, an index from 0, or a variable inside of '[ ]'")
  end
  if p.kind[p.i] ~= "]" then
    raise(p.from[p.i], "inside of '[ ]' there can be a quoted key, an index from 0, or a variable, "
      .. "not an expression; use `set` first")
  end
  if p.from[p.i] ~= p.to[p.i - 1] then
    raise(p.from[p.i], "no spaces are possible inside of '[ ]'")
  end
  p.i = p.i + 1
  return part
end

local MOST_STEPS <const> = 200

local function add_dotted(p, parts, text)
  for part in text:gmatch "[%w_]+" do
    parts[#parts + 1] = part
    if #parts > MOST_STEPS then
      raise(p.from[p.i], ("a path has at most %d steps"):format(MOST_STEPS))
    end
  end
end

-- A variable: { op = "path", name, parts }; a part is a string, an integer, or another path.
function parse_path(p)
  local from = p.from[p.i]
  local name, rest = p.value[p.i]:match "^([%w_]+)(.*)$"
  local parts = {}
  add_dotted(p, parts, rest)
  p.i = p.i + 1
  while true do
    local kind = p.kind[p.i]
    if p.from[p.i] ~= p.to[p.i - 1] then break end
    if kind == "[" then
      parts[#parts + 1] = parse_bracket(p)
    elseif kind == "tail" and p.kind[p.i - 1] == "]" then
      add_dotted(p, parts, p.value[p.i])
      p.i = p.i + 1
    else
      break
    end
  end
  local text = sub(p.source, from, p.to[p.i - 1] - 1)
  return { op = "path", name = name, parts = parts, at = from, text = text }
end

-- Arguments ------------------------------------------------------------------------------------

local parse_array

local function parse_value(p)
  if p.kind[p.i] == "[" then return (parse_array(p)) end
  return (parse_logic(p))
end
expressions.value = parse_value

-- `(name=value, ...)`, the opening parenthesis is next. A list of { name, value }, last one wins.
local function parse_arguments(p)
  local open = p.from[p.i]
  p.i = p.i + 1
  local args, seen = {}, {}
  enter(p)
  while p.kind[p.i] ~= ")" do
    if p.kind[p.i] ~= "name" or p.kind[p.i + 1] ~= "=" then
      if p.kind[p.i] == "end" then raise(open, "this '(' is not closed") end
      raise(p.from[p.i], "arguments have names here: `name=value`, found " .. found(p))
    end
    local name, at = p.value[p.i], p.from[p.i]
    p.i = p.i + 2
    local arg = { name = name, value = parse_value(p), at = at }
    if seen[name] then
      args[seen[name]] = arg
    else
      args[#args + 1] = arg
      seen[name] = #args
    end
    if not accept(p, ",") then break end
    if p.kind[p.i] == "," then fail(p, "an argument") end
  end
  leave(p)
  expect(p, ")", "',' or ')' in the arguments")
  return args
end

local function parse_filters(p, node)
  if p.kind[p.i] ~= "|" then return node, false end
  local filters = {}
  while accept(p, "|") do
    local name, at = expect(p, "name", "a filter's name after '|'")
    local args = p.kind[p.i] == "(" and parse_arguments(p) or {}
    filters[#filters + 1] = { name = name, args = args, at = at }
  end
  return { op = "filtered", value = node, filters = filters, at = node.at }, true
end

--- A filter's name and arguments, for filter sections.
function expressions.filter(p)
  local name, at = expect(p, "name", "a filter's name")
  local args = p.kind[p.i] == "(" and parse_arguments(p) or {}
  return { name = name, args = args, at = at }
end

-- `[a, b]`, with filters. Elements are negations, or arrays again.
function parse_array(p)
  local at = p.from[p.i]
  p.i = p.i + 1
  local items = {}
  enter(p)
  while p.kind[p.i] ~= "]" do
    if p.kind[p.i] == "[" then
      items[#items + 1] = (parse_array(p))
    else
      items[#items + 1] = expressions.negation(p)
      if is_word(p, "and") or is_word(p, "or") then
        raise(p.from[p.i], "`and` and `or` in an array's element need parentheses around them")
      end
    end
    if not accept(p, ",") then break end
  end
  leave(p)
  expect(p, "]", "',' or ']' in the array")
  return parse_filters(p, { op = "array", items = items, at = at })
end
expressions.array = parse_array

-- Operands -------------------------------------------------------------------------------------

local function parse_test(p, path)
  p.i = p.i + 1
  local negated = is_word(p, "not")
  if negated then p.i = p.i + 1 end
  local name, at = expect(p, "name", "a test's name after `is`")
  local args = {}
  if p.kind[p.i] == "(" then
    p.i = p.i + 1
    enter(p)
    if p.kind[p.i] == ")" then raise(p.from[p.i], "empty parentheses; leave them out") end
    repeat
      args[#args + 1] = parse_value(p)
    until not accept(p, ",")
    leave(p)
    expect(p, ")", "',' or ')' in the test's arguments")
  end
  return { op = "test", path = path, name = name, negated = negated, args = args, at = at }
end

local function parse_named(p)
  local at, name = p.from[p.i], p.value[p.i]
  local kind, after = p.kind[p.i], p.kind[p.i + 1]
  if kind == "name" then
    if booleans[name] ~= nil then
      p.i = p.i + 1
      return { op = "bool", value = booleans[name], at = at }
    end
    if after == "::" then
      p.i = p.i + 2
      local macro = expect(p, "name", "a macro's name after '::'")
      if p.kind[p.i] ~= "(" then fail(p, "'(' after the macro's name") end
      return { op = "macro", space = name, name = macro, args = parse_arguments(p), at = at }
    end
    if after == "(" then
      p.i = p.i + 1
      return { op = "call", name = name, args = parse_arguments(p), at = at }
    end
  end
  local path = parse_path(p)
  if is_word(p, "is") then return parse_test(p, path) end
  return path
end

local function parse_minus(p)
  local at = p.from[p.i]
  p.i = p.i + 1
  local kind = p.kind[p.i]
  if p.from[p.i] == p.to[p.i - 1] then
    if kind == "int" then return integer(p, "-", at) end
    if kind == "float" then return float(p, "-", at) end
  end
  enter(p)
  local value = expressions.operand(p)
  leave(p)
  return { op = "neg", value = value, at = at }
end

local function parse_parenthesis(p)
  local at = p.from[p.i]
  p.i = p.i + 1
  enter(p)
  local node, class = parse_logic(p)
  leave(p)
  if p.kind[p.i] == "end" then raise(at, "this '(' is not closed") end
  expect(p, ")", "')'")
  node.parenthesised = true
  return node, class == "basic" and "basic" or "logic"
end

-- One operand and its class. `first`: a condition in parentheses may stand here.
function expressions.operand(p, first)
  local kind, at = p.kind[p.i], p.from[p.i]
  if kind == "int" then return integer(p, "", at), "basic" end
  if kind == "float" then return float(p, "", at), "basic" end
  if kind == "name" or kind == "path" then return parse_named(p), "basic" end
  if kind == "-" then return parse_minus(p), "basic" end
  if kind == "(" then
    local node, class = parse_parenthesis(p)
    if class == "logic" and not first then
      raise(at, "a condition, a string or a filtered value in parentheses can't be an operand; "
        .. "use `set` first")
    end
    return node, class
  end
  if kind == "string" then
    raise(at, "a string can't be an operand of arithmetic; `~` joins strings")
  end
  if kind == "[" then raise(at, "an array can't stand here; use `set` first") end
  fail(p, "a value")
end

local chainable = { int = true, float = true, path = true, call = true, str = true }

local function parse_chain(p, node)
  local parts = { node }
  while accept(p, "~") do
    local part
    if p.kind[p.i] == "string" then
      part = { op = "str", value = p.value[p.i], at = p.from[p.i] }
      p.i = p.i + 1
    else
      part = expressions.operand(p)
    end
    if not chainable[part.op] or part.parenthesised then
      raise(part.at, "`~` joins strings, numbers, variables and function calls only")
    end
    parts[#parts + 1] = part
  end
  return { op = "concat", parts = parts, at = node.at }
end

local precedence = { ["+"] = 1, ["-"] = 1, ["*"] = 2, ["/"] = 2, ["%"] = 2 }

-- terms[1] operators[1] terms[2] ... as a tree: `*`, `/`, `%` before `+`, `-`, both from the left.
local function fold(terms, operators)
  local sums, signs = { terms[1] }, {}
  for i, operator in ipairs(operators) do
    local right = terms[i + 1]
    if precedence[operator.value] == 2 then
      sums[#sums] = {
        op = "arith", operator = operator.value, left = sums[#sums], right = right,
        at = operator.at,
      }
    else
      sums[#sums + 1], signs[#signs + 1] = right, operator
    end
  end
  local node = sums[1]
  for i, sign in ipairs(signs) do
    node = { op = "arith", operator = sign.value, left = node, right = sums[i + 1], at = sign.at }
  end
  return node
end

local function next_operator(p)
  local kind = p.kind[p.i]
  if not precedence[kind] then return nil end
  p.i = p.i + 1
  return { value = kind, at = p.from[p.i - 1] }
end

-- operand { operator operand }: appends to terms and operators.
local function parse_group(p, terms, operators)
  while true do
    terms[#terms + 1] = expressions.operand(p)
    local operator = next_operator(p)
    if not operator then break end
    operators[#operators + 1] = operator
  end
end

-- Groups after the first: a group that ends in a filter is one term, a last one without joins the
-- terms before it, so that `a | length - 1 - 1` counts from the left.
local function parse_sum(p, node)
  local terms, operators = { node }, {}
  while true do
    local operator = next_operator(p)
    if not operator then break end
    operators[#operators + 1] = operator
    local group, inner = {}, {}
    parse_group(p, group, inner)
    if p.kind[p.i] == "|" then
      terms[#terms + 1] = (parse_filters(p, fold(group, inner)))
    else
      table.move(group, 1, #group, #terms + 1, terms)
      table.move(inner, 1, #inner, #operators + 1, operators)
    end
  end
  return fold(terms, operators)
end

-- One side of a comparison.
local function parse_side(p, first)
  if p.kind[p.i] == "string" then
    local node = { op = "str", value = p.value[p.i], at = p.from[p.i] }
    p.i = p.i + 1
    if p.kind[p.i] == "~" then node = parse_chain(p, node) end
    node = parse_filters(p, node)
    if precedence[p.kind[p.i]] then
      raise(p.from[p.i], "a string can't be an operand of arithmetic; `~` joins strings")
    end
    return node, "text"
  end
  local node, class = expressions.operand(p, first)
  if class == "logic" then return node, class end
  if p.kind[p.i] == "~" then
    if not chainable[node.op] or node.parenthesised then
      raise(node.at, "`~` joins strings, numbers, variables and function calls only")
    end
    node = parse_filters(p, parse_chain(p, node))
    return node, "text"
  end
  local operator = next_operator(p)
  if operator then
    local terms, operators = { node }, { operator }
    parse_group(p, terms, operators)
    node = fold(terms, operators)
  end
  local filtered
  node, filtered = parse_filters(p, node)
  if filtered and precedence[p.kind[p.i]] then node = parse_sum(p, node) end
  return node, filtered and "filtered" or "basic"
end

-- Conditions -----------------------------------------------------------------------------------

local function parse_container(p)
  local kind = p.kind[p.i]
  if kind == "[" then return (parse_array(p)) end
  local node = parse_side(p)
  if (node.op == "path" or node.op == "str" or node.op == "concat") and not node.parenthesised then
    return node
  end
  local inner = node.op == "filtered" and node.value.op
  if inner == "str" or inner == "concat" then return node end
  raise(node.at, "right of `in` there can be a string, an array or a variable; use `set` first")
end

local compare = {
  ["=="] = true, ["!="] = true, ["<"] = true, ["<="] = true, [">"] = true, [">="] = true,
}

local function parse_comparison(p)
  local left, class = parse_side(p, true)
  if class == "logic" then return left, class end
  local kind, at = p.kind[p.i], p.from[p.i]
  if compare[kind] then
    p.i = p.i + 1
    local right = parse_side(p)
    if compare[p.kind[p.i]] then
      raise(p.from[p.i], "comparisons can't be chained; join them with `and`")
    end
    return { op = "compare", operator = kind, left = left, right = right, at = at }, "logic"
  end
  local mark = p.i
  local negated = accept_operator(p, "not")
  if is_word(p, "in") then
    p.i = p.i + 1
    local right = parse_container(p)
    return { op = "in", left = left, right = right, negated = negated, at = at }, "logic"
  end
  p.i = mark
  return left, class
end

--- An element of an array, an operand of `and` and `or`.
function expressions.negation(p)
  local at = p.from[p.i]
  if not accept_operator(p, "not") then return parse_comparison(p) end
  return { op = "not", value = parse_comparison(p), at = at }, "logic"
end

-- Flat lists instead of nested pairs: a chain of 10,000 `and` is no deeper than one.
local function parse_list(p, word, op, element)
  local first, class = element(p)
  if not accept_operator(p, word) then return first, class end
  local items = { first }
  repeat
    items[#items + 1] = (element(p))
  until not accept_operator(p, word)
  return { op = op, items = items, at = first.at }, "logic"
end

local function parse_and(p)
  return parse_list(p, "and", "and", expressions.negation)
end

function parse_logic(p)
  return parse_list(p, "or", "or", parse_and)
end
expressions.logic = parse_logic

--- The container of a `for`: a sum with filters, or an array.
function expressions.container(p)
  if p.kind[p.i] == "[" then return (parse_array(p)) end
  if p.kind[p.i] == "string" then
    raise(p.from[p.i], "`for` needs an array, an object or a variable here, not a string literal")
  end
  local node, class = parse_side(p)
  if class == "text" then
    raise(node.at, "`for` needs an array, an object or a variable here, not joined strings")
  end
  return node
end

return expressions
