-- A template's tree as one chunk of Lua. The chunk returns a table of functions:
--
--   main(R, O, ctx, F, B)          the body; O is the output, F holds what `set` sets
--   block_<n>(R, O, ctx, F, B, l)  a block; B has the definitions of every block, l is its level
--   macro_<n>(R, direct, ...)      a macro, its arguments in the order of the definition; direct:
--                                  its text stays in the output, else it is returned
--
-- Text and expressions that follow one another become one call of `put`. `set` writes to
-- F["name"], in a loop to a local of the loop's body, so that it ends with the iteration. The chunk
-- gets what it needs as arguments; its environment is empty.
local emit = require "web.template.emit"
local loops = require "web.template.loops"
local number = require "web.template.number"
local paths = require "web.template.paths"
local runtime = require "web.template.runtime"
local writer = require "web.template.writer"

local compiler = {}

local quote = writer.quote
local fmt, concat = string.format, table.concat

local GROUP_PIECES <const> = 24
local GROUP_LOCALS <const> = 60
-- Nodes of a body in one function.
local LONG_BODY <const> = 500

local helpers = {
  "null", "type", "mtype", "index", "walk", "truth", "equal", "tick", "joined", "enter", "put",
  "mark", "finish", "raise", "further", "lost", "key", "either", "append", "array", "add", "sub",
  "mul", "div", "mod", "neg", "less", "less_equal", "part", "contains", "boolean", "each",
  "entries", "try", "EMPTY", "scope", "dump", "span",
}

local body

-- Output ---------------------------------------------------------------------------------------

local function flush(g)
  local group = g.group
  if not group then return end
  g.group = nil
  local codes, mask = {}, 0
  for i, piece in ipairs(group.pieces) do
    codes[i] = piece.text and quote(piece.text) or piece.code
    if piece.escape then mask = mask | 1 << (i - 1) end
  end
  g.w:line(fmt("put(O, %d, %s)", mask, concat(codes, ", ")))
  if group.opened then g.w:close(group.active) end
end

-- The group that output is added to.
local function group_of(g)
  if not g.group then g.group = { pieces = {}, opened = false } end
  return g.group
end

local function add_text(g, text)
  local group = group_of(g)
  local last = group.pieces[#group.pieces]
  if last and last.text then
    last.text = last.text .. text
  else
    group.pieces[#group.pieces + 1] = { text = text }
  end
end

local function add_value(g, node, escape)
  local w = g.w
  local group = group_of(g)
  if #group.pieces >= GROUP_PIECES or group.opened and w.active - group.active > GROUP_LOCALS then
    flush(g)
    group = group_of(g)
  end
  if not group.opened then
    group.opened = true
    group.active = w:open()
  end
  group.pieces[#group.pieces + 1] = { code = (emit.expr(g, node)), escape = escape }
end

-- Is the text of this expression to be escaped?
local function escapes(g, node)
  if node.op == "filtered" then
    if node.filters[#node.filters].name == "safe" then return false end
    for i = #node.filters, 1, -1 do
      local name = node.filters[i].name
      if name ~= "default" and name ~= "safe" then return not g.is_safe("filter", name) end
    end
    return escapes(g, node.value)
  end
  if node.op == "macro" then return false end
  if node.op == "call" then return not g.is_safe("function", node.name) end
  return g.strict or node.op ~= "path" or node.name ~= "__tera_context" or #node.parts > 0
end

local unescaped = { int = true, float = true, bool = true }

-- Statements -----------------------------------------------------------------------------------

local statements = {}

function statements.print(g, node)
  local value = node.value
  if unescaped[value.op] then return add_text(g, g.number_text(value.value)) end
  if value.op == "str" and not value.value:find "[&<>\"'/]" then return add_text(g, value.value) end
  if value.op ~= "macro" then return add_value(g, value, escapes(g, value)) end
  flush(g)
  local saved = g.w:open()
  emit.macro(g, value, true)
  g.w:close(saved)
end

function statements.set(g, node)
  flush(g)
  local w = g.w
  local saved = w:open()
  local code = emit.expr(g, node.value)
  local scope = g.scope
  local target = not node.global and scope.sets and scope.sets[node.name]
  w:line(fmt("%s = %s", target or fmt("F[%s]", quote(node.name)), code))
  w:close(saved)
end

statements["if"] = function(g, node)
  flush(g)
  local w = g.w
  local done = #node.branches > 1 and w:fresh "done"
  local outer = w:open()
  for _, branch in ipairs(node.branches) do
    if branch.test then
      local saved = w:open(fmt("if %s then", emit.condition(g, branch.test)))
      body(g, branch.body)
      if done then w:line("goto " .. done) end
      w:close(saved)
    else
      local saved = w:open()
      body(g, branch.body)
      w:close(saved)
    end
  end
  if done then w:line("::" .. done .. "::") end
  w:close(outer)
end

loops.install(statements)

function statements.section(g, node)
  flush(g)
  local w = g.w
  local outer = w:open()
  local t = w:temporary()
  local inner = w:open()
  w:line "local m = mark(O)"
  w.active = w.active + 1
  body(g, node.body)
  w:line(fmt("%s = finish(R, O, m)", t))
  w:close(inner)
  local value = t
  if node.filter.name ~= "safe" then value = emit.filter(g, t, node.filter) end
  w:line(fmt("put(O, 0, %s)", value))
  w:close(outer)
end

function statements.include(g, node)
  flush(g)
  local w = g.w
  local code = w:external { sort = "include", names = node.names, optional = node.optional,
    at = g.base + node.at }
  local context = "ctx"
  if g.scope.parent or g.scope.arguments or g.shared or next(g.frame_names) then
    context = fmt("scope(ctx, F, %s)", paths.visible(g))
  end
  w:line(fmt("enter(R, %d)", g.base + node.at))
  w:line(fmt("%s(R, O, %s)", code, context))
  w:line "R[3] = R[3] - 1"
end

-- Blocks are functions; where a block stands, the definition nearest to the entry is called.
function statements.block(g, node)
  flush(g)
  local w = g.w
  g.blocks[#g.blocks + 1] = node
  local own = fmt("U[%s]", quote("block_" .. #g.blocks))
  g.block_index[node] = #g.blocks
  local context = "ctx"
  if g.scope.parent or g.scope.arguments then
    context = fmt("scope(ctx, F, %s)", paths.visible(g))
  end
  local frame = g.scope.arguments and "{}" or "F"
  w:line(fmt("do local d = B and B[%s] ;(d and d[1] or %s)(R, O, %s, %s, B, 1) end",
    quote(node.name), own, context, frame))
end

statements["super"] = function(g, node)
  flush(g)
  local name = quote(g.block_name)
  g.w:line(fmt("do local d = B and B[%s] d = d and d[level + 1] if not d then raise(%d, %s) end "
    .. "d(R, O, ctx, F, B, level + 1) end", name, g.base + node.at,
    quote(fmt("`super()`, but no parent has a block '%s'", g.block_name))))
end

local function emit_nodes(g, nodes, from, to)
  for i = from, to do
    local node = nodes[i]
    if node.op == "text" or node.op == "raw" then
      add_text(g, node.value)
    elseif statements[node.op] then
      statements[node.op](g, node)
    end
  end
  flush(g)
end

-- A `break` or `continue` of the loop around these nodes?
local function jumps(nodes, from, to)
  for i = from, to do
    local node = nodes[i]
    if node.op == "break" or node.op == "continue" then return true end
    for _, branch in ipairs(node.branches or {}) do
      if jumps(branch.body, 1, #branch.body) then return true end
    end
    if node.otherwise and jumps(node.otherwise, 1, #node.otherwise) then return true end
  end
  return false
end

-- Long bodies become several functions: a function of Lua has at most 32,767 locals in all.
function body(g, nodes)
  local w = g.w
  for from = 1, #nodes, LONG_BODY do
    local to = math.min(from + LONG_BODY - 1, #nodes)
    if #nodes <= LONG_BODY or jumps(nodes, from, to) then
      emit_nodes(g, nodes, from, to)
    else
      local outer = w:open_function("do local function part()", 0)
      emit_nodes(g, nodes, from, to)
      w:close_function(outer, "end part() end")
    end
  end
end

-- Functions of the chunk -----------------------------------------------------------------------

local function root_scope(g)
  return {
    op = "frame",
    frame_may_have = function(name) return g.shared or g.frame_names[name] end,
  }
end

local function emit_main(g)
  local w = g.w
  local outer = w:open_function("U.main = function(R, O, ctx, F, B)", 5)
  g.scope = root_scope(g)
  body(g, g.tree.body)
  w:close_function(outer)
end

local function emit_block(g, node, i)
  local w = g.w
  local outer = w:open_function(fmt("U[%s] = function(R, O, ctx, F, B, level)",
    quote("block_" .. i)), 6)
  g.scope, g.block_name = root_scope(g), node.name
  body(g, node.body)
  g.block_name = nil
  w:close_function(outer)
end

local function emit_macro(g, node)
  local w = g.w
  local arguments, names = {}, { "R", "direct" }
  for i, parameter in ipairs(node.parameters) do
    names[i + 2] = "p" .. i
    arguments[parameter.name] = "p" .. i
  end
  local outer = w:open_function(fmt("U[%s] = function(%s)", quote("macro_" .. node.name),
    concat(names, ", ")), #names)
  w:line "local ctx, O, F, B = R.root, R.O, {}, nil"
  w:line "local m = direct or mark(O)"
  w.active = w.active + 5
  g.scope = root_scope(g)
  g.scope.arguments, g.macro = arguments, node
  body(g, node.body)
  g.macro = nil
  w:line "if not direct then return finish(R, O, m) end"
  w:close_function(outer)
end

-- Every name that `set` or `set_global` sets anywhere: F may have it.
local function collect_names(nodes, names)
  for _, node in ipairs(nodes) do
    if node.op == "set" then names[node.name] = true end
    if node.body then collect_names(node.body, names) end
    if node.otherwise then collect_names(node.otherwise, names) end
    for _, branch in ipairs(node.branches or {}) do collect_names(branch.body, names) end
  end
end

---@class TemplateUnit  what the compiler asks of the template's owner
---@field tree TemplateTree
---@field base integer       added to positions, so that they are unique among templates
---@field strict boolean
---@field find_macro fun(space: string, name: string): table?, string?
---@field is_safe fun(sort: string, name: string): boolean
---@field is_custom fun(sort: string, name: string): boolean

--- The Lua source of a template, and what its X[i] refer to.
---@param unit TemplateUnit
---@return string source
---@return table[] externals
---@return table<string, integer> blocks  the functions of block definitions, by name
---@return boolean sets  whether anything is ever set
function compiler.compile(unit)
  local tree = unit.tree
  local g = {
    w = writer.new(), tree = tree, base = unit.base, strict = unit.strict,
    find_macro = unit.find_macro, is_safe = unit.is_safe, is_custom = unit.is_custom,
    body = body, flush = flush,
    blocks = {}, block_index = {}, frame_names = {}, long_string = runtime.LONG_STRING,
    number_text = function(v)
      return type(v) == "number" and number.text(v) or tostring(v)
    end,
  }
  collect_names(tree.body, g.frame_names)
  g.shared = tree.extends ~= nil or next(tree.blocks) ~= nil
  local w = g.w
  w:line "local H, X = ..."
  local heads = {}
  for i, name in ipairs(helpers) do heads[i] = "H." .. name end
  w:line(fmt("local %s = %s", concat(helpers, ", "), concat(heads, ", ")))
  local constants = w:hold()
  w:line "local U = {}"
  emit_main(g)
  for _, node in ipairs(tree.body) do
    if node.op == "macro" then emit_macro(g, node) end
  end
  local i = 0
  while i < #g.blocks do
    i = i + 1
    emit_block(g, g.blocks[i], i)
  end
  w:line "return U"
  w.lines[constants] = "local K = {" .. concat(w.constants, ", ") .. "}"
  local block_functions = {}
  for name, node in pairs(tree.blocks) do block_functions[name] = g.block_index[node] end
  local sets = g.shared or next(g.frame_names) ~= nil
  return concat(w.lines, "\n"), w.externals, block_functions, sets
end

return compiler
