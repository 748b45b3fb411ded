-- Filters of arrays and objects. Nothing is changed in place: a filter returns a new array.
local fail = require "web.template.fail"
local print = require "web.template.print"
local number = require "web.template.number"
local encode = require "web.template.encode"
local runtime = require "web.template.runtime"
local text = require "web.template.text"
local value = require "web.template.value"

local filters = {}

local null <const> = value.null
local type, mtype = type, math.type
local array, walk, same, is_array, describe = value.array, value.walk, value.same, value.is_array,
  value.describe
local charge = runtime.charge

local function filter(name, apply)
  local label = "filter '" .. name .. "'"
  filters[name] = function(v, args, R)
    -- An empty table that a script made is an array here.
    if not is_array(v) and (type(v) ~= "table" or next(v) ~= nil) then
      fail.array_value(label, v)
    end
    charge(R, #v // 8)
    return apply(v, args, R, label)
  end
end

local function attribute_of(label, args, default)
  return fail.string(label, args, "attribute", default)
end

filter("first", function(v)
  if #v == 0 then return "" end
  return v[1]
end)
filter("last", function(v)
  if #v == 0 then return "" end
  return v[#v]
end)

filter("nth", function(v, args, _, label)
  if #v == 0 then return "" end
  local item = v[fail.natural(label, args, "n") + 1]
  if item == nil then return "" end
  return item
end)

filter("join", function(v, args, R, label)
  local sep = fail.string(label, args, "sep", ""):gsub("\\n", "\n"):gsub("\\t", "\t")
  local pieces, size = {}, #sep * #v
  for i = 1, #v do
    local piece = print.text(v[i], R)
    pieces[i] = piece
    size = size + #piece
  end
  runtime.reserve(R, size)
  return table.concat(pieces, sep)
end)

-- Sorting --------------------------------------------------------------------------------------

-- The kind of a sort key; keys of one sort are of one kind.
local function sort_kind(key)
  if mtype(key) then return "number" end
  if type(key) == "string" or type(key) == "boolean" then return type(key) end
  if is_array(key) then return "array" end
end

local function rank(key)
  if type(key) == "boolean" then return key and 1 or 0 end
  if type(key) == "table" then return #key end
  return key
end

-- Stable: merges halves; `keys` are compared, `items` move along.
local function merge_sort(items, keys, R)
  local n = #items
  local from_items, from_keys, to_items, to_keys = items, keys, {}, {}
  local width = 1
  while width < n do
    charge(R, n // 4)
    for low = 1, n, 2 * width do
      local i, j = low, low + width
      local middle, high = math.min(low + width, n + 1), math.min(low + 2 * width, n + 1)
      for k = low, high - 1 do
        if i < middle and (j >= high or from_keys[i] <= from_keys[j]) then
          to_items[k], to_keys[k] = from_items[i], from_keys[i]
          i = i + 1
        else
          to_items[k], to_keys[k] = from_items[j], from_keys[j]
          j = j + 1
        end
      end
    end
    from_items, from_keys, to_items, to_keys = to_items, to_keys, from_items, from_keys
    width = 2 * width
  end
  return from_items
end

filter("sort", function(v, args, R, label)
  if #v == 0 then return v end
  local path = attribute_of(label, args, "")
  local items, keys, kind = {}, {}, nil
  for i = 1, #v do
    local key = walk(v[i], path)
    if key == nil then fail.raise(("%s: element %d has no '%s'"):format(label, i - 1, path)) end
    local this = sort_kind(key)
    kind = kind or this
    if not this or this ~= kind then
      fail.raise(("%s: element %d is %s; sorted are numbers, strings, booleans or arrays, of one "
        .. "kind"):format(label, i - 1, describe(key)))
    end
    items[i], keys[i] = v[i], rank(key)
  end
  return array(merge_sort(items, keys, R))
end)

filter("unique", function(v, args, R, label)
  if #v == 0 then return v end
  charge(R, #v // 4)
  local path = attribute_of(label, args, "")
  local case_sensitive = fail.boolean(label, args, "case_sensitive", false)
  local items, seen, kind = {}, {}, nil
  for i = 1, #v do
    charge(R, 1)
    local key = walk(v[i], path)
    if key ~= nil or i == 1 then
      local this = mtype(key) or type(key)
      kind = kind or this
      if this ~= kind or this ~= "integer" and this ~= "string" and this ~= "boolean" then
        fail.raise(("%s: element %d is %s; compared are integers, strings or booleans, of one kind")
          :format(label, i - 1, describe(key)))
      end
      if this == "string" and not case_sensitive then key = text.lower(key) end
      if not seen[key] then
        seen[key] = true
        items[#items + 1] = v[i]
      end
    end
  end
  return array(items)
end)

-- Choosing -------------------------------------------------------------------------------------

local function position(i, n)
  if i < 0 then i = n + i end
  if i ~= i or i < 0 then return 0 end
  return math.tointeger(math.min(i, n) // 1)
end

filter("slice", function(v, args, _, label)
  if #v == 0 then return v end
  local first = position(fail.number(label, args, "start", 0), #v)
  local stop = position(fail.number(label, args, "end", #v), #v)
  return array(table.move(v, first + 1, stop, 1, {}))
end)

filter("filter", function(v, args, R, label)
  if #v == 0 then return v end
  local path = attribute_of(label, args)
  local wanted = args.value
  local items = {}
  for i = 1, #v do
    local found = walk(v[i], path)
    if found == nil then found = null end
    local keep = found ~= null
    if wanted ~= nil and wanted ~= null then keep = same(found, wanted, R) end
    if keep then items[#items + 1] = v[i] end
  end
  return array(items)
end)

filter("map", function(v, args, _, label)
  if #v == 0 then return v end
  local path = attribute_of(label, args)
  local items = {}
  for i = 1, #v do
    local found = walk(v[i], path)
    if found ~= nil and found ~= null then items[#items + 1] = found end
  end
  return array(items)
end)

filter("concat", function(v, args, R, label)
  local with = args.with
  if with == nil then fail.raise(label .. " needs `with=`") end
  local items = table.move(v, 1, #v, 1, {})
  if is_array(with) then
    charge(R, #with // 8)
    table.move(with, 1, #with, #items + 1, items)
  else
    items[#items + 1] = with
  end
  return array(items)
end)

filter("group_by", function(v, args, R, label)
  if #v == 0 then return {} end
  local path = attribute_of(label, args)
  local groups = {}
  for i = 1, #v do
    charge(R, 2)
    local key = walk(v[i], path)
    if key ~= nil and key ~= null then
      if type(key) ~= "string" then
        key = mtype(key) and number.json(key)
          or encode.encode(key, false, function(n) charge(R, n) end)
      end
      local group = groups[key]
      if not group then
        group = array {}
        groups[key] = group
      end
      group[#group + 1] = v[i]
    end
  end
  return groups
end)

return filters
