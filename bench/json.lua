-- JSON against Debian's lua-cjson, in one run: build/lunacast lua bench/json.lua [SECONDS]
-- Each round takes both in turn, so that a busy machine slows both; the medians are compared.
local ours = require "host.json"
local found, theirs = pcall(require, "cjson")
if not found then
  print("lua-cjson is not installed: apt-get install lua-cjson")
  return 1
end

local seconds = tonumber(arg[1]) or 2

local item = [[{"id":%d,"user":"viewer-%d","name":"\u00c5sa Lindstr\u00f6m","score":%s,]]
  .. [["active":true,]]
  .. [["tags":["svg","live","t%d"],"pos":{"x":%s,"y":%s},"note":null}]]
local items = {}
for i = 1, 9 do
  items[i] = item:format(1000 + i, i, 97.25 + i, i, i * 10.5, i * 3.1)
end
local objects = '{"topic":"pictures/main","version":42,"items":['
  .. table.concat(items, ",") .. "]}"
local numbers = {}
for i = 1, 90 do numbers[i] = ("%.17g"):format(i / 7 * 1000) end
local doubles = "[" .. table.concat(numbers, ",") .. "]"
local text = '{"template":"' .. ("<svg><rect width='10' height='10'/></svg>\\n"):rep(34) .. '"}'

local cases = {
  { "objects", objects }, { "17-digit doubles", doubles }, { "one long string", text },
}

local function per_call(f, value, budget)
  local calls, start = 0, os.clock()
  repeat
    for _ = 1, 100 do f(value) end
    calls = calls + 100
    local spent = os.clock() - start
  until spent >= budget
  return (os.clock() - start) / calls * 1e6
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

local function compare(name, what, f, g, value, other)
  local a, b = {}, {}
  for round = 1, 9 do
    a[round] = per_call(f, value, seconds / 9 / 2)
    b[round] = per_call(g, other, seconds / 9 / 2)
  end
  local ma, mb = median(a), median(b)
  local row = "%-18s %-7s %7.2f us   lua-cjson %7.2f us   ratio %.2f"
  print(row:format(name, what, ma, mb, ma / mb))
end

theirs.encode_number_precision(14)
for _, case in ipairs(cases) do
  local name, source = case[1], case[2]
  print(("%s, %d bytes"):format(name, #source))
  compare(name, "decode", ours.decode, theirs.decode, source, source)
  compare(name, "encode", ours.encode, theirs.encode, ours.decode(source), theirs.decode(source))
end
