-- Warnings about a Lua file: globals that nobody knows (a typo, or a missing `local`), and locals
-- that nobody reads. One pass over the words with a stack of scopes: expressions need no tree, only
-- which names they read; blocks, functions and assignments are followed exactly.
--
-- Rejected: luacheck as a dependency of every user; Lua's own bytecode, which knows globals but has
-- forgotten the locals that it never wrote to a register.
local lex = require "cli.lint.lexer"

---@class lint.Warning
---@field line integer
---@field message string

local KNOWN = {}
for name in ([[_G _VERSION assert collectgarbage coroutine error getmetatable ipairs load math next
os pairs pcall print rawequal rawget rawlen rawset require select setmetatable string table tonumber
tostring type utf8 xpcall]]):gmatch "%S+" do
  KNOWN[name] = true
end

local Lint = {}
Lint.__index = Lint


function Lint:warn(line, text, ...)
  self.warnings[#self.warnings + 1] = { line = line, message = text:format(...) }
end

-- Words -----------------------------------------------------------------------------------------

function Lint:peek(offset)
  return self.words[self.at + (offset or 0)] or self.words[#self.words]
end

function Lint:next()
  local word = self:peek()
  self.at = self.at + 1
  return word
end

function Lint:is(text)
  local word = self:peek()
  return word.text == text and word.kind ~= "string"
end

function Lint:accept(text)
  if not self:is(text) then return false end
  self.at = self.at + 1
  return true
end

-- Scopes ----------------------------------------------------------------------------------------

function Lint:open()
  self.scope = { parent = self.scope, names = {}, order = {} }
end

function Lint:close()
  for _, var in ipairs(self.scope.order) do
    if var.checked and not var.read then
      self:warn(var.line, var.written and "%s is set, but never read" or "%s is never used",
        var.name)
    end
  end
  self.scope = self.scope.parent
end

-- `checked`: it is worth a warning when nobody reads it.
function Lint:declare(word, checked)
  local var = { name = word.text, line = word.line,
    checked = checked and word.text:sub(1, 1) ~= "_" }
  self.scope.names[word.text] = var
  self.scope.order[#self.scope.order + 1] = var
end

function Lint:find(name)
  local scope = self.scope
  while scope do
    if scope.names[name] then return scope.names[name] end
    scope = scope.parent
  end
end

function Lint:read(word)
  local var = self:find(word.text)
  if var then
    var.read = true
  elseif not self.known[word.text] then
    self:warn(word.line, "no global is named %s: a typo, or a missing `local`?", word.text)
  end
end

function Lint:write(word)
  local var = self:find(word.text)
  if var then
    var.written = true
  else
    self:warn(word.line, "assignment to the global %s: declare it with `local`", word.text)
  end
end

-- Expressions -----------------------------------------------------------------------------------

local CLOSING = { ["("] = ")", ["["] = "]", ["{"] = "}" }

-- A table: names before "=" are keys.
function Lint:table_body()
  while not self:accept "}" do
    if self:peek().kind == "name" and self:peek(1).text == "="
      and self:peek(1).kind == "op" then
      self.at = self.at + 2
    elseif self:is "[" then
      self.at = self.at + 1
      self:group "]"
    elseif not self:word() then
      self.at = self.at + 1
    end
    if self:peek().kind == "eof" then return end
  end
end

function Lint:group(stop)
  while not self:accept(stop) do
    if self:peek().kind == "eof" then return end
    if not self:word() then self.at = self.at + 1 end
  end
end

-- One word of an expression with what belongs to it; false: it ends before this word.
function Lint:word()
  local word = self:peek()
  if word.kind == "name" then
    self.at = self.at + 1
    self:read(word)
  elseif word.kind == "string" or word.kind == "number" then
    self.at = self.at + 1
  elseif word.text == "function" then
    self.at = self.at + 1
    self:function_body()
  elseif word.text == "{" then
    self.at = self.at + 1
    self:table_body()
  elseif CLOSING[word.text] then
    self.at = self.at + 1
    self:group(CLOSING[word.text])
  elseif (word.text == "." or word.text == ":") and word.kind == "op" then
    self.at = self.at + 2 -- the field's name
  elseif word.kind == "op" and word.text ~= ";" and word.text ~= "=" and word.text ~= "::"
    and word.text ~= "," and not word.text:find "^[%)%]}]$" then
    self.at = self.at + 1
  elseif word.text == "and" or word.text == "or" or word.text == "not" or word.text == "nil"
    or word.text == "true" or word.text == "false" then
    self.at = self.at + 1
  else
    return false
  end
  return true
end

-- Can an operand follow this word, or does one end with it?
local function ends_operand(word)
  return word.kind == "name" or word.kind == "string" or word.kind == "number"
    or word.text == ")" or word.text == "]" or word.text == "}" or word.text == "end"
    or word.text == "nil" or word.text == "true" or word.text == "false" or word.text == "..."
end

-- Expressions with commas between, to where a statement begins. Two operands side by side are two
-- statements, unless the second is the argument of a call: f "x", f { x }.
function Lint:expressions()
  local first = self.at
  while true do
    local word, before = self:peek(), self.words[self.at - 1]
    local operand = word.kind == "name" or word.kind == "keyword" and word.text == "function"
    if self.at > first and operand and ends_operand(before) then return end
    if self:accept "," then
      first = self.at
    elseif not self:word() then
      return
    end
  end
end

function Lint:function_body(method)
  self:open()
  if method then self:declare({ text = "self", line = self:peek().line }, false) end
  self:accept "("
  while not self:accept ")" do
    local word = self:next()
    if word.kind == "name" then self:declare(word, false) end
    if word.kind == "eof" then break end
  end
  self:block { ["end"] = true }
  self:accept "end"
  self:close()
end

-- Statements ------------------------------------------------------------------------------------

local statements = {}

function Lint:scoped(stops)
  self:open()
  self:block(stops)
  self:close()
end

local END = { ["end"] = true }
local IF_ENDS = { ["end"] = true, ["else"] = true, ["elseif"] = true }

statements["do"] = function(self)
  self:scoped(END)
  self:accept "end"
end

statements["while"] = function(self)
  self:expressions()
  self:accept "do"
  self:scoped(END)
  self:accept "end"
end

statements["repeat"] = function(self)
  self:open()
  self:block { ["until"] = true }
  self:accept "until"
  self:expressions()
  self:close()
end

statements["if"] = function(self)
  repeat
    self:expressions()
    self:accept "then"
    self:scoped(IF_ENDS)
    if self:accept "else" then self:scoped(END) end
  until not self:accept "elseif"
  self:accept "end"
end

statements["for"] = function(self)
  local names = {}
  repeat names[#names + 1] = self:next() until not self:accept ","
  self.at = self.at + 1 -- "=" or "in"
  self:expressions()
  self:accept "do"
  self:open()
  for _, name in ipairs(names) do self:declare(name, false) end
  self:block(END)
  self:close()
  self:accept "end"
end

statements["function"] = function(self)
  local name, method, plain = self:next(), false, true
  while self:is "." or self:is ":" do
    method, plain = self:is ":", false
    self.at = self.at + 2
  end
  if plain then self:write(name) else self:read(name) end
  self:function_body(method)
end

statements["return"] = function(self)
  self:expressions()
  self:accept ";"
end

statements["goto"] = function(self)
  self.at = self.at + 1
end

statements["local"] = function(self)
  if self:accept "function" then
    self:declare(self:next(), true)
    return self:function_body()
  end
  local names = {}
  repeat
    local name = self:next()
    names[#names + 1] = name
    if self:accept "<" then
      name.closes = self:next().text == "close"
      self:accept ">"
    end
  until not self:accept ","
  if self:accept "=" then self:expressions() end
  for _, name in ipairs(names) do self:declare(name, not name.closes) end
end

-- A call or an assignment; plain names before "=" are written, everything else is read.
function Lint:assignment()
  local targets = {}
  repeat
    local word = self:peek()
    local after = self:peek(1)
    local simple = word.kind == "name" and (after.text == "=" or after.text == ",")
      and after.kind == "op"
    if simple then
      targets[#targets + 1] = self:next()
    else
      self:operand()
    end
  until not self:accept ","
  if self:accept "=" then self:expressions() end
  for _, word in ipairs(targets) do self:write(word) end
end

-- A name or a group with its fields, indices and calls.
function Lint:operand()
  local first = self.at
  while self.at == first or self:is "." or self:is ":" or self:is "(" or self:is "["
    or self:is "{" or self:peek().kind == "string" do
    if not self:word() then return end
  end
end

function Lint:block(stops)
  while true do
    local word = self:peek()
    if word.kind == "eof" or word.kind == "keyword" and stops[word.text] then return end
    local before = self.at
    if word.kind == "keyword" and statements[word.text] then
      self.at = self.at + 1
      statements[word.text](self)
    elseif self:accept ";" or self:accept "break" then
      before = 0
    elseif self:accept "::" then
      self.at = self.at + 2
    else
      self:assignment()
    end
    if self.at == before then self.at = self.at + 1 end -- never stand still
  end
end


--- The warnings about a text that compiles.
---@param source string
---@param globals? string[] more names that are known
---@return lint.Warning[]
return function(source, globals)
  local known = setmetatable({}, { __index = KNOWN })
  for _, name in ipairs(globals or {}) do known[name] = true end
  local lint = setmetatable({ words = lex(source), at = 1, warnings = {}, known = known }, Lint)
  lint:open()
  lint:block {}
  lint:close()
  table.sort(lint.warnings, function(a, b) return a.line < b.line end)
  return lint.warnings
end
