-- A template's text as a tree. What may stand where depends on the place (a `break` in a loop, a
-- `block` outside of loops and macros, ...); the place is a small table of permissions.
local cursor = require "web.template.cursor"
local errors = require "web.template.errors"
local expressions = require "web.template.expressions"
local lexer = require "web.template.lexer"
local whitespace = require "web.template.whitespace"

local parser = {}

local raise = errors.raise
local find, sub, match = string.find, string.sub, string.match
local accept, expect, fail, is_word, found =
  cursor.accept, cursor.expect, cursor.fail, cursor.is_word, cursor.found

local TOP <const> = { block = true, macro = true, name = "a template" }
local CONTENT <const> = { block = true, name = "a condition" }
local BLOCK <const> = { block = true, super = true, name = "a block" }
local LOOP <const> = { loop = true, name = "a loop" }
local MACRO <const> = { name = "a macro" }
local SECTION <const> = { block = true, name = "a filter section" }

local statements = {}
local parse_body

-- Tags -----------------------------------------------------------------------------------------

--- A word that whitespace must follow: `if`, `for`, `set`, ...
local function spaced(p, word)
  if not find(p.source, "^[ \t\r\n]", p.to[p.i - 1]) then
    raise(p.to[p.i - 1], ("a space is missing after `%s`"):format(word))
  end
end

local function close_tag(p)
  local trim = expect(p, "%}", "'%}'")
  return trim
end

local enders = {
  endif = "if", ["elif"] = "if", ["else"] = "if or for", endfor = "for", endblock = "block",
  endmacro = "macro", endfilter = "filter", endraw = "raw",
}

-- Is the tag at the cursor one of these words?
local function at_tag(p, words)
  if p.kind[p.i] ~= "{%" or p.kind[p.i + 1] ~= "name" then return nil end
  local word = p.value[p.i + 1]
  return words[word] and word
end

-- Enters the tag at the cursor: its left trim.
local function open_tag(p)
  local left = p.value[p.i]
  p.i = p.i + 2
  return left
end

local function unclosed(p, opened, word)
  local line = errors.locate(p.source, opened)
  raise(p.from[p.i], ("the `%s` of line %d is not closed: expected '{%% end%s %%}', found %s")
    :format(word, line, word, p.kind[p.i] == "{%" and p.kind[p.i + 1] == "name"
      and ("'{%% %s %%}'"):format(p.value[p.i + 1]) or found(p)))
end

-- `{% endif %}` and the like: left trim, right trim.
local function parse_end(p, opened, word, named)
  if at_tag(p, { ["end" .. word] = true }) == nil then unclosed(p, opened, word) end
  local left = open_tag(p)
  if named then accept(p, "name") end
  return left, close_tag(p)
end

-- Statements: each is called after its word ---------------------------------------------------

statements["if"] = function(p, place, left, at)
  local inner = place.macro and CONTENT or place
  local node = { op = "if", left = left, at = at, branches = {} }
  local word = "if"
  while true do
    local branch = { left = left, at = p.from[p.i - 1] }
    if word ~= "else" then
      spaced(p, word)
      branch.test = (expressions.logic(p))
    end
    branch.inner_left = close_tag(p)
    branch.body = parse_body(p, inner, { ["elif"] = word ~= "else", ["else"] = word ~= "else",
      endif = true })
    node.branches[#node.branches + 1] = branch
    local next_word = word ~= "else" and at_tag(p, { ["elif"] = true, ["else"] = true })
    if not next_word then break end
    left = open_tag(p)
    word = next_word
  end
  node.inner_right, node.right = parse_end(p, at, "if")
  return node
end

statements["for"] = function(p, place, left, at)
  spaced(p, "for")
  local node = { op = "for", left = left, at = at }
  node.value = expect(p, "name", "a name after `for`")
  if p.kind[p.i] == "," then
    if p.from[p.i] ~= p.to[p.i - 1] then
      raise(p.from[p.i], "no space is possible before this ','")
    end
    p.i = p.i + 1
    node.key, node.value = node.value, expect(p, "name", "a second name after ','")
  end
  if not is_word(p, "in") then fail(p, "`in` after the loop's name") end
  p.i = p.i + 1
  spaced(p, "in")
  node.container = expressions.container(p)
  node.inner_left = close_tag(p)
  local stops = { ["else"] = true, endfor = true }
  node.body = parse_body(p, LOOP, stops)
  while at_tag(p, { ["else"] = true }) do
    open_tag(p)
    close_tag(p)
    node.otherwise = parse_body(p, place.loop and LOOP or MACRO, stops)
  end
  node.inner_right, node.right = parse_end(p, at, "for")
  return node
end

local function parse_set(global)
  return function(p, _, left, at)
    local word = global and "set_global" or "set"
    spaced(p, word)
    local name = expect(p, "name", "a plain name after `" .. word .. "`")
    if not accept(p, "=") then fail(p, "'=' after the name") end
    local node = { op = "set", name = name, global = global, left = left, at = at }
    node.value = expressions.value(p)
    node.right = close_tag(p)
    return node
  end
end
statements.set = parse_set(false)
statements.set_global = parse_set(true)

statements.filter = function(p, _, left, at)
  spaced(p, "filter")
  local node = { op = "section", left = left, at = at, filter = expressions.filter(p) }
  node.inner_left = close_tag(p)
  node.body = parse_body(p, SECTION, { endfilter = true })
  node.inner_right, node.right = parse_end(p, at, "filter")
  return node
end

statements.include = function(p, _, left, at)
  spaced(p, "include")
  local node = { op = "include", left = left, at = at, names = {} }
  if accept(p, "[") then
    while p.kind[p.i] ~= "]" do
      node.names[#node.names + 1] = expect(p, "string", "a template's name in quotes")
      if not accept(p, ",") then break end
    end
    expect(p, "]", "',' or ']' in the list of names")
  else
    node.names[1] = expect(p, "string", "a template's name in quotes, or a list of them")
  end
  if is_word(p, "ignore") then
    p.i = p.i + 1
    if not is_word(p, "missing") then fail(p, "`missing` after `ignore`") end
    p.i = p.i + 1
    node.optional = true
  end
  node.right = close_tag(p)
  return node
end

statements.block = function(p, place, left, at)
  if not place.block then raise(at, "a block can't be inside of " .. place.name) end
  spaced(p, "block")
  local node = { op = "block", left = left, at = at }
  node.name = expect(p, "name", "a name after `block`")
  node.inner_left = close_tag(p)
  node.body = parse_body(p, BLOCK, { endblock = true })
  node.inner_right, node.right = parse_end(p, at, "block", true)
  return node
end

-- A macro's argument: a name, and maybe `=literal` without spaces.
local function parse_parameter(p)
  local name, at = expect(p, "name", "an argument's name")
  local parameter = { name = name, at = at }
  if p.kind[p.i] ~= "=" then return parameter end
  if p.from[p.i] ~= p.to[p.i - 1] or p.from[p.i + 1] ~= p.to[p.i] then
    raise(p.from[p.i], "no spaces are possible around this '='")
  end
  p.i = p.i + 1
  local value
  if p.kind[p.i] == "string" then
    value = { op = "str", value = p.value[p.i], at = p.from[p.i] }
    p.i = p.i + 1
  else
    value = expressions.operand(p)
  end
  if value.op ~= "str" and value.op ~= "int" and value.op ~= "float" and value.op ~= "bool" then
    raise(value.at, "a default is a literal string, number or boolean")
  end
  parameter.default = value
  return parameter
end

local MOST_PARAMETERS <const> = 100

statements.macro = function(p, place, left, at)
  if not place.macro then raise(at, "a macro can't be inside of " .. place.name) end
  spaced(p, "macro")
  local node = { op = "macro", left = left, at = at, parameters = {} }
  node.name = expect(p, "name", "a name after `macro`")
  expect(p, "(", "'(' after the macro's name")
  if p.kind[p.i] ~= ")" then
    local seen = {}
    repeat
      local parameter = parse_parameter(p)
      if seen[parameter.name] then
        raise(parameter.at, ("the macro has two arguments '%s'"):format(parameter.name))
      end
      seen[parameter.name] = true
      node.parameters[#node.parameters + 1] = parameter
    until not accept(p, ",")
    if #node.parameters > MOST_PARAMETERS then
      raise(at, ("a macro has at most %d arguments"):format(MOST_PARAMETERS))
    end
  end
  expect(p, ")", "',' or ')' after the argument")
  node.inner_left = close_tag(p)
  node.body = parse_body(p, MACRO, { endmacro = true })
  node.inner_right, node.right = parse_end(p, at, "macro", true)
  return node
end

local function parse_jump(op)
  return function(p, place, left, at)
    if not place.loop then
      raise(at, ("`%s` works only inside of a loop's body, found in %s"):format(op, place.name))
    end
    return { op = op, left = left, at = at, right = close_tag(p) }
  end
end
statements["break"] = parse_jump "break"
statements["continue"] = parse_jump "continue"

local function refuse_late(op)
  return function(_, _, _, at)
    raise(at, ("`%s` must come first in a template, before any text"):format(op))
  end
end
statements.extends = refuse_late "extends"
statements.import = refuse_late "import"

-- Bodies ---------------------------------------------------------------------------------------

local function parse_statement(p, place)
  local at, left = p.from[p.i], p.value[p.i]
  p.i = p.i + 1
  local word, word_at = p.value[p.i], p.from[p.i]
  if p.kind[p.i] ~= "name" then fail(p, "a tag's word") end
  p.i = p.i + 1
  local parse = statements[word]
  if not parse then
    if enders[word] then
      raise(at, ("'{%% %s %%}' without its `%s`"):format(word, enders[word]))
    end
    raise(word_at, ("unknown tag '%s'%s"):format(word, errors.suggest(word, statements)))
  end
  cursor.enter(p)
  local node = parse(p, place, left, at)
  cursor.leave(p)
  return node
end

local function parse_print(p, place)
  local at, left = p.from[p.i], p.value[p.i]
  local i = p.i
  if place.super and sub(p.source, p.from[i + 1], p.from[i + 1] + 6) == "super()"
    and p.kind[i + 4] == "}}" then
    p.i = i + 5
    return { op = "super", at = at }
  end
  p.i = i + 1
  if p.kind[p.i] == "}}" then raise(at, "nothing to print between '{{' and '}}'") end
  local node = { op = "print", at = at, left = left, value = expressions.value(p) }
  node.right = expect(p, "}}", "an operator or '}}'")
  return node
end

function parse_body(p, place, stops)
  local nodes = {}
  while true do
    local kind = p.kind[p.i]
    if kind == "text" then
      nodes[#nodes + 1] = { op = "text", value = p.value[p.i] }
      p.i = p.i + 1
    elseif kind == "{{" then
      nodes[#nodes + 1] = parse_print(p, place)
    elseif kind == "comment" then
      local c = p.value[p.i]
      nodes[#nodes + 1] = { op = "comment", left = c.left, right = c.right }
      p.i = p.i + 1
    elseif kind == "raw" then
      local r = p.value[p.i]
      nodes[#nodes + 1] = { op = "raw", value = r.text, left = r.left, right = r.right,
        inner_left = r.inner_left, inner_right = r.inner_right, at = p.from[p.i] }
      p.i = p.i + 1
    elseif kind == "{%" and not at_tag(p, stops) then
      nodes[#nodes + 1] = parse_statement(p, place)
    else
      return nodes
    end
  end
end

-- The head: comments, then `extends` and `import` in either order; whitespace between is nothing.
local heads = { extends = true, import = true }

local function parse_head_tag(p, tree)
  local word, at = p.value[p.i + 1], p.from[p.i]
  p.i = p.i + 2
  spaced(p, word)
  local file = expect(p, "string", "a template's name in quotes")
  if word == "extends" then
    if tree.extends then raise(at, "a template extends one other template, not two") end
    tree.extends = { name = file, at = at }
  else
    if not is_word(p, "as") then fail(p, "`as` and a name after the file") end
    p.i = p.i + 1
    spaced(p, "as")
    local space = expect(p, "name", "a name after `as`")
    tree.imports[#tree.imports + 1] = { file = file, space = space, at = at }
  end
  return close_tag(p)
end

local function parse_head(p, tree)
  while p.kind[p.i] == "comment" do p.i = p.i + 1 end
  local i = p.i
  while true do
    while p.kind[i] == "comment" or p.kind[i] == "text" and find(p.value[i], "^[ \t\r\n]*$") do
      i = i + 1
    end
    if p.kind[i] ~= "{%" or p.kind[i + 1] ~= "name" or not heads[p.value[i + 1]] then return end
    p.i = i
    local trim = parse_head_tag(p, tree)
    if p.kind[p.i] == "text" then
      local text = match(p.value[p.i], "^[ \t\r\n]*(.*)$")
      p.value[p.i] = trim and whitespace.trim_start(text) or text
      if p.value[p.i] == "" then p.i = p.i + 1 end
    end
    i = p.i
  end
end

-- Blocks at the top and directly in such blocks are definitions that a child can replace.
local function collect_blocks(nodes, blocks)
  for _, node in ipairs(nodes) do
    if node.op == "block" then
      if blocks[node.name] then raise(node.at, ("two blocks '%s'"):format(node.name)) end
      blocks[node.name] = node
      collect_blocks(node.body, blocks)
    end
  end
end

local function collect_macros(nodes, macros)
  for _, node in ipairs(nodes) do
    if node.op == "macro" then
      if macros[node.name] then raise(node.at, ("two macros '%s'"):format(node.name)) end
      macros[node.name] = node
    end
  end
end

---@class TemplateTree
---@field body table[]
---@field blocks table<string, table>
---@field macros table<string, table>
---@field imports { file: string, space: string, at: integer }[]
---@field extends { name: string, at: integer }?

---@param source string
---@param max_depth integer  how deep tags and expressions may nest
---@param max_tokens? integer
---@return TemplateTree
function parser.parse(source, max_depth, max_tokens)
  local p = lexer.scan(source, max_tokens)
  p.i, p.depth, p.max_depth, p.source = 1, 0, max_depth, source
  local tree = { imports = {}, blocks = {}, macros = {} }
  parse_head(p, tree)
  local nodes = parse_body(p, TOP, {})
  if p.kind[p.i] ~= "end" then fail(p, "a tag") end
  tree.body = whitespace.strip(nodes)
  collect_blocks(tree.body, tree.blocks)
  collect_macros(tree.body, tree.macros)
  return tree
end

return parser
