-- The built-in tests: function(value or nil, args, R) -> boolean.
local fail = require "web.template.fail"
local text = require "web.template.text"
local runtime = require "web.template.runtime"
local value = require "web.template.value"

local tests = {}

local type, mtype, sub = type, math.type, string.sub

local function test(name, most, apply)
  local label = "test '" .. name .. "'"
  tests[name] = function(v, args, R)
    if #args > most then
      fail.raise(most == 0 and label .. " takes no arguments"
        or ("%s takes %d argument, got %d"):format(label, most, #args))
    end
    return apply(v, args[1], label, R)
  end
end

-- A test that needs its variable to exist.
local function present(name, most, apply)
  test(name, most, function(v, arg, label, R)
    if v == nil then fail.raise(label .. ": the variable is undefined") end
    return apply(v, arg, label, R)
  end)
end

local function number_of(label, what, v)
  if not mtype(v) then fail.kind(label, what, v, "a number") end
  return v
end

local function string_of(label, what, v)
  if type(v) ~= "string" then fail.kind(label, what, v, "a string") end
  return v
end

test("defined", 0, function(v) return v ~= nil end)
test("undefined", 0, function(v) return v == nil end)
present("string", 0, function(v) return type(v) == "string" end)
present("number", 0, function(v) return mtype(v) ~= nil end)
present("odd", 0, function(v, _, label) return number_of(label, "the value", v) % 2 ~= 0 end)
present("even", 0, function(v, _, label) return number_of(label, "the value", v) % 2 == 0 end)
present("divisibleby", 1, function(v, arg, label)
  number_of(label, "the value", v)
  number_of(label, "the argument", arg)
  return arg ~= 0 and v % arg == 0
end)
present("iterable", 0, function(v) return type(v) == "table" end)
present("object", 0, function(v) return value.is_object(v) end)
present("starting_with", 1, function(v, arg, label)
  string_of(label, "the value", v)
  return sub(v, 1, #string_of(label, "the argument", arg)) == arg
end)
present("ending_with", 1, function(v, arg, label)
  string_of(label, "the value", v)
  string_of(label, "the argument", arg)
  return arg == "" or #v >= #arg and sub(v, -#arg) == arg
end)
present("containing", 1, function(v, arg, label, R)
  if arg == nil then fail.raise(label .. " needs an argument") end
  if type(v) == "table" and not value.is_array(v) then
    return v[string_of(label, "the argument", arg)] ~= nil
  end
  if type(v) == "string" then
    return runtime.contains(R, string_of(label, "the argument", arg), v, nil)
  end
  if type(v) ~= "table" then fail.kind(label, "the value", v, "a string, an array or an object") end
  return runtime.contains(R, arg, v, nil)
end)
present("matching", 1, function(v, arg, label, R)
  string_of(label, "the value", v)
  string_of(label, "the argument", arg)
  runtime.reserve(R, #v + #arg)
  local found, problem = text.matches(v, arg)
  if problem then fail.raise(label .. ": " .. problem) end
  return found
end)

return tests
