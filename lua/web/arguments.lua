-- The arguments of a filter, by name: checked, with a default. Without a default an argument is
-- required. What is wrong is raised as text; the template's error adds filter, line and column.
local arguments = {}

local function kind_of(v)
  if math.type(v) then return "the number " .. v end
  if type(v) == "string" then return ("the string '%s'"):format(v:sub(1, 40)) end
  return "a " .. type(v)
end

local function check(accepts, expected)
  return function(args, name, default)
    local v = args[name]
    if v == nil then v = default end
    if v == nil then error(("it needs `%s=`, %s"):format(name, expected), 0) end
    if not accepts(v) then
      error(("`%s` must be %s, got %s"):format(name, expected, kind_of(v)), 0)
    end
    return v
  end
end

---@type fun(args: table, name: string, default?: number): number
arguments.number = check(function(v) return math.type(v) ~= nil and v == v end, "a number")

---@type fun(args: table, name: string, default?: string): string
arguments.string = check(function(v) return type(v) == "string" end, "a string")

---@type fun(args: table, name: string, default?: boolean): boolean
arguments.boolean = check(function(v) return type(v) == "boolean" end, "true or false")

---@type fun(args: table, name: string, default?: table): table
arguments.list = check(function(v) return type(v) == "table" end, "an array")

--- An integer between two bounds.
---@param args table
---@param name string
---@param low integer
---@param high integer
---@param default? integer
---@return integer
function arguments.integer(args, name, low, high, default)
  local v = args[name]
  if v == nil then v = default end
  if math.type(v) ~= "integer" or v < low or v > high then
    error(("`%s` must be an integer from %d to %d, got %s"):format(name, low, high, kind_of(v)), 0)
  end
  return v
end

--- The filter's own value, when it must be a number.
---@param v any
---@return number
function arguments.number_value(v)
  if math.type(v) == nil or v ~= v then
    error("the value must be a number, got " .. kind_of(v), 0)
  end
  return v
end

return arguments
