-- Lua source in the making: lines, names of temporaries, constants. It keeps the code inside of
-- Lua's limits: temporaries beyond MOST_LOCALS of a function live in a table.
local writer = {}

local format, gsub = string.format, string.gsub

local MOST_LOCALS <const> = 140

---@class TemplateWriter
---@field lines string[]
---@field active integer  locals in scope of the current function
local Writer = {}
Writer.__index = Writer

function writer.new()
  return setmetatable({
    lines = {}, n = 0, id = 0, active = 0, constants = {}, constant_of = {}, externals = {},
    external_of = {}, header = 0, spills = false, spill = "Z",
  }, Writer)
end

function Writer:line(code)
  self.n = self.n + 1
  self.lines[self.n] = code
end

--- A line to be filled in later.
function Writer:hold()
  self:line ""
  return self.n
end

function Writer:fresh(prefix)
  self.id = self.id + 1
  return prefix .. self.id
end

--- A place for a value: a new local, or a slot of Z. `code` nil: no value yet.
function Writer:temporary(code)
  if self.active >= MOST_LOCALS then
    self.spills = true
    self.id = self.id + 1
    local slot = self.spill .. "[" .. self.id .. "]"
    self:line(slot .. " = " .. (code or "nil"))
    return slot
  end
  local name = self:fresh "t"
  self.active = self.active + 1
  self:line(code and "local " .. name .. " = " .. code or "local " .. name)
  return name
end

--- Opens a scope of locals; `close` with what this returned.
function Writer:open(code)
  self:line(code or "do")
  return self.active
end

function Writer:close(active, code)
  self:line(code or "end")
  self.active = active
end

--- Starts a function, which has its own limits.
function Writer:open_function(code, locals)
  local outer = { active = self.active, header = self.header, spills = self.spills,
    spill = self.spill }
  self:line(code)
  self.header, self.spills, self.active = self:hold(), false, locals
  self.spill = self:fresh "Z"
  return outer
end

function Writer:close_function(outer, code)
  if self.spills then self.lines[self.header] = "local " .. self.spill .. " = {}" end
  self:line(code or "end")
  self.active, self.header = outer.active, outer.header
  self.spills, self.spill = outer.spills, outer.spill
end

local escapes = {}
for c = 0, 255 do escapes[string.char(c)] = format("\\%03d", c) end

--- Any string as a literal; no byte of it can end the literal.
---@param s string
---@return string
function writer.quote(s)
  return '"' .. gsub(s, '[%c"\\\127-\255]', escapes) .. '"'
end

--- A number or boolean as a literal.
function writer.literal(v)
  if math.type(v) == "integer" then
    return v == math.mininteger and "(-9223372036854775807-1)" or format("%d", v)
  end
  if math.type(v) == "float" then
    if v ~= v then return "(0/0)" end
    return format("%a", v)
  end
  return tostring(v)
end

--- A constant table, made once when the code is loaded.
function Writer:constant(code)
  local i = self.constant_of[code]
  if not i then
    i = #self.constants + 1
    self.constants[i] = code
    self.constant_of[code] = i
  end
  return "K[" .. i .. "]"
end

--- Something from outside of the code: a filter, a macro, a template. Resolved when first used.
function Writer:external(spec, key)
  local i = key and self.external_of[key]
  if not i then
    i = #self.externals + 1
    self.externals[i] = spec
    if key then self.external_of[key] = i end
  end
  return "X[" .. i .. "]"
end

return writer
