-- Loops as Lua source. A loop is a `for` over a list and its length; each iteration costs a step,
-- more of them when the body is long. g.body and g.flush are compiler.lua's.
local emit = require "web.template.emit"
local writer = require "web.template.writer"

local loops = {}

local quote = writer.quote
local fmt = string.format

local LOOP_LOCALS <const> = 100
local MOST_LOOP_SETS <const> = 12
-- Lua's `for` can't jump over more than 2^17 instructions.
local LARGE_BODY <const> = 4000
-- Lines of Lua in a loop's body that count as one step more.
local LINES_PER_STEP <const> = 32

-- The names that `set` sets in a loop's body, without those of loops inside of it.
local function own_sets(nodes, found, list)
  for _, node in ipairs(nodes) do
    if node.op == "set" and not node.global and not found[node.name] then
      found[node.name] = true
      list[#list + 1] = node.name
    elseif node.op == "if" then
      for _, branch in ipairs(node.branches) do own_sets(branch.body, found, list) end
    elseif node.op == "section" then
      own_sets(node.body, found, list)
    end
  end
  return list
end

-- Is any field of this loop's value read? Then it is asked once for being a table.
local function reads_fields(node, name, seen)
  if type(node) ~= "table" then return false end
  if node.op == "path" and node.name == name and type(node.parts[1]) == "string"
    and not node.parts[1]:find "^%d" then
    return true
  end
  for _, child in pairs(node) do
    if type(child) == "table" and not seen[child] then
      seen[child] = true
      if reads_fields(child, name, seen) then return true end
    end
  end
  return false
end

local function declare_sets(g, scope, names)
  local w = g.w
  scope.sets = {}
  if #names > MOST_LOOP_SETS then
    local holder = w:fresh "s"
    w:line(fmt("local %s = {}", holder))
    w.active = w.active + 1
    for _, name in ipairs(names) do scope.sets[name] = fmt("%s[%s]", holder, quote(name)) end
    return
  end
  for _, name in ipairs(names) do
    local code = w:fresh "s"
    w:line("local " .. code)
    w.active = w.active + 1
    scope.sets[name] = code
  end
end

-- `range(...)` needs no list: its numbers are computed from the index.
local function open_range(g, node, scope)
  local w = g.w
  local args = {}
  for _, arg in ipairs(node.container.args) do args[arg.name] = (emit.expr(g, arg.value)) end
  local first, step = w:fresh "a", w:fresh "a"
  w:line(fmt("local %s, %s, %s = span(R, %s, %s, %s, %d)", scope.count, first, step,
    args.start or "nil", args["end"] or "nil", args.step_by or "nil", g.base + node.container.at))
  w.active = w.active + 3
  return fmt("%s + (%s-1) * %s", first, scope.index, step)
end

-- The locals before the loop; returns what the value is in each iteration.
local function open_container(g, node, scope)
  local w = g.w
  local container = node.container
  if container.op == "call" and container.name == "range" and not node.key
    and not g.is_custom("function", "range") then
    scope.value_kind = "int"
    return open_range(g, node, scope)
  end
  local code = emit.expr(g, container)
  local list = w:fresh "a"
  if node.key then
    local keys = w:fresh "a"
    w:line(fmt("local %s, %s, %s = entries(R, %s, %d)", list, keys, scope.count, code,
      g.base + container.at))
    w.active = w.active + 3
    scope.key_code = w:fresh "k"
    return fmt("%s[%s]", list, scope.key_code), fmt("%s[%s]", keys, scope.index)
  end
  w:line(fmt("local %s, %s = each(R, %s, %d)", list, scope.count, code, g.base + container.at))
  w.active = w.active + 2
  return fmt("%s[%s]", list, scope.index)
end

-- The head of the loop, filled in when its body is known: `for`, or `while` around a large body.
local function loop_head(scope, lines)
  local steps = 1 + lines // LINES_PER_STEP
  local count = fmt("local s = R[2] - %d R[2] = s if s < 0 then tick(R) end", steps)
  if lines <= LARGE_BODY then
    return fmt("for %s = 1, %s do %s", scope.index, scope.count, count)
  end
  return fmt("local n%s = 0 while n%s < %s do n%s = n%s + 1 local %s = n%s %s", scope.index,
    scope.index, scope.count, scope.index, scope.index, scope.index, scope.index, count)
end

local function loop_body(g, node, scope, value_code, key_code)
  local w = g.w
  local head = w:hold()
  local saved = w.active
  w.active = w.active + 5
  if key_code then w:line(fmt("local %s = %s", scope.key_code, key_code)) end
  scope.value_code = w:fresh "v"
  w:line(fmt("local %s = %s", scope.value_code, value_code))
  w.active = w.active + 2
  if scope.value_kind ~= "int" and reads_fields(node.body, node.value, {}) then
    scope.fields_code = w:fresh "f"
    w:line(fmt('local %s = type(%s) == "table" and %s or EMPTY', scope.fields_code,
      scope.value_code, scope.value_code))
    w.active = w.active + 1
  end
  declare_sets(g, scope, own_sets(node.body, {}, {}))
  g.scope = scope
  g.body(g, node.body)
  if scope.continues then w:line("::" .. scope.continues .. "::") end
  g.scope = scope.parent
  w.lines[head] = loop_head(scope, w.n - head)
  w:close(saved)
end

local function emit_loop(g, node)
  local w = g.w
  local outer = w:open()
  local scope = { op = "loop", parent = g.scope, value = node.value, key = node.key,
    index = w:fresh "i", count = w:fresh "n" }
  local value_code, key_code = open_container(g, node, scope)
  loop_body(g, node, scope, value_code, key_code)
  if node.otherwise then
    local saved = w:open(fmt("if %s == 0 then", scope.count))
    g.body(g, node.otherwise)
    w:close(saved)
  end
  w:close(outer)
end

--- Adds what loops consist of to the statements.
function loops.install(statements)
  statements["for"] = function(g, node)
    g.flush(g)
    local w = g.w
    -- Deeply nested loops go into functions of their own, each with its own 200 locals.
    local jumps = node.otherwise and g.scope.op == "loop"
    if w.active < LOOP_LOCALS or jumps then return emit_loop(g, node) end
    local name = w:fresh "loop"
    local outer = w:open_function(fmt("local function %s()", name), 0)
    emit_loop(g, node)
    w:close_function(outer)
    w.active = w.active + 1
    w:line(name .. "()")
  end

  statements["break"] = function(g)
    g.flush(g)
    g.w:line "do break end"
  end

  statements["continue"] = function(g)
    g.flush(g)
    local scope = g.scope
    scope.continues = scope.continues or g.w:fresh "next"
    g.w:line(fmt("do goto %s end", scope.continues))
  end
end

return loops
