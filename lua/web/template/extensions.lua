-- The user's filters, tests and functions: those given to the environment, then those of plugins,
-- then the files of lua/filters/, lua/filters/tests/ and lua/filters/functions/, found by their
-- names. A new VM finds new files, which is what makes them hot.
local fail = require "web.template.fail"
local runtime = require "web.template.runtime"

local extensions = {}

local folders = {
  filter = "filters.", test = "filters.tests.", ["function"] = "filters.functions.",
}
local fields = { filter = "filters", test = "tests", ["function"] = "functions" }

-- A built-in's arguments may be a shared constant; a user's are a copy, which may be changed.
local function copy(args)
  local own = {}
  for k, v in pairs(args) do own[k] = v end
  return own
end

local function failed(sort, name, problem)
  if type(problem) == "table" and problem.limit then error(problem, 0) end
  local message = type(problem) == "table" and problem.message or tostring(problem)
  fail.raise(("%s '%s': %s"):format(sort, name, message))
end

local function returned(sort, name, ok, v, problem)
  if not ok then failed(sort, name, v) end
  if v == nil then failed(sort, name, problem or "it returned nothing") end
  return v
end

-- Lua code of a user costs more than an iteration, and more for a larger value.
local function pay(R, v)
  local size = (type(v) == "string" or type(v) == "table") and #v or 0
  runtime.charge(R, 2 + size // 4)
end

-- How generated code calls it.
local function wrap(sort, name, call)
  if sort == "function" then
    return function(args, R)
      pay(R)
      return returned(sort, name, pcall(call, copy(args)))
    end
  end
  if sort == "test" then
    return function(v, args, R)
      pay(R, v)
      local ok, result, problem = pcall(call, v, copy(args))
      if ok and problem == nil then return result and true or false end
      return returned(sort, name, ok, ok and nil or result, problem)
    end
  end
  return function(v, args, R)
    pay(R, v)
    return returned(sort, name, pcall(call, v, copy(args)))
  end
end

local function entry(sort, name, found)
  if type(found) == "function" then return { call = wrap(sort, name, found), safe = false } end
  if type(found) == "table" and type(found.call) == "function" then
    return { call = wrap(sort, name, found.call), safe = found.safe == true }
  end
  return {
    safe = false,
    call = function()
      fail.raise(("the %s '%s' is a %s; it must be a function, or { safe = ..., call = ... }")
        :format(sort, name, type(found)))
    end,
  }
end

-- Of plugins, by sort and name; added while a VM is built, before any template is compiled.
local added = { filter = {}, test = {}, ["function"] = {} }

--- Adds one to all environments, until `undo`; compiled templates that have it by then keep it.
---@param sort "filter"|"test"|"function"
---@param name string
---@param found function|{ safe: boolean, call: function }
---@return fun() undo
function extensions.add(sort, name, found)
  if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" then
    error(("a %s's name is letters, digits and _, got '%s'"):format(sort, tostring(name)), 2)
  end
  if added[sort][name] then error(("there is a %s '%s' already"):format(sort, name), 2) end
  added[sort][name] = found
  return function() added[sort][name] = nil end
end

-- Files are looked for once per VM and name.
local absent = {}

local function from_file(sort, name)
  local module = folders[sort] .. name
  if absent[module] then return nil end
  local ok, found = pcall(require, module)
  if ok then return found end
  if tostring(found):find(("module '%s' not found"):format(module), 1, true) then
    absent[module] = true
    return nil
  end
  -- A file with an error is there: the error is shown where the name is used.
  return function() error(found, 0) end
end

local Extensions = {}
Extensions.__index = Extensions

---@param options TemplateOptions
function extensions.new(options)
  local self = setmetatable({ found = {}, given = {} }, Extensions)
  for sort, field in pairs(fields) do
    self.given[sort], self.found[sort] = options[field] or {}, {}
  end
  return self
end

--- { call, safe } of a name, or nil.
function Extensions:find(sort, name)
  local known = self.found[sort][name]
  if known ~= nil then return known or nil end
  local found = self.given[sort][name]
  if found == nil then found = added[sort][name] end
  if found == nil then found = from_file(sort, name) end
  self.found[sort][name] = found ~= nil and entry(sort, name, found) or false
  return self.found[sort][name] or nil
end

--- The names that are known so far.
function Extensions:names(sort)
  local names = {}
  for name in pairs(self.given[sort]) do names[name] = true end
  for name in pairs(added[sort]) do names[name] = true end
  for name, found in pairs(self.found[sort]) do
    if found then names[name] = true end
  end
  return names
end

return extensions
