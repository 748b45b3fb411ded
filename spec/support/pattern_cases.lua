-- Random calls of the string library, the same for each run of one seed, and a transcript of what
-- they gave. Run by stock Lua (lua5.4 spec/support/pattern_cases.lua SEED COUNT) and by lunacast's
-- own functions; the two must not differ.
local cases = {}

local function generator(seed)
  local state = seed
  return function(n)
    state = (state * 6364136223846793005 + 1442695040888963407)
    return ((state >> 33) % n) + 1
  end
end

local items = { "a", "b", "c", "x", ".", "%a", "%d", "%s", "%w", "%l", "%u", "%p", "%x", "%c", "%g", "%z",
  "%A", "%D", "%S", "%W", "[abc]", "[^a]", "[a-c]", "[^a-c%d]", "[%a_]", "[]]", "[^]]", "[a-]", "[-a]", "[%]]",
  "[a%-z]", "%.", "%%", "(", ")", "()", "(a)", "(.)", "(", ")", "%1", "%2", "%0", "%3", "%b()", "%bxy", "%baa",
  "%f[%a]", "%f[^%a]", "%f[\0]", "%f[%z]", "^", "$", "1", " ", "\0", "[", "[^", "]", "%", "%b", "%bx", "%f", "%fa",
  "[%", "[a-%]", "[%a-z]", "\xe9", "[\x80-\xff]", "-", "[[]", "[^%s]" }
local repeats = { "", "", "", "*", "+", "-", "?", "*", "+", "-", "?" }
local bytes = { "a", "b", "c", "x", "y", "(", ")", "1", "2", " ", "\n", "A", "B", ".", "%", "]", "[", "-", "\0",
  "\xe9", "_", "a", "a", "b" }
local texts = { "", "x", "%0", "%1", "%2", "<%0>", "%%", "[%1%1]", "%", "%x", "a%", "%9", "\0", "%1-%0" }

local function pattern(random)
  local out = { random(6) == 1 and "^" or "" }
  for i = 1, random(7) do out[i + 1] = items[random(#items)] .. repeats[random(#repeats)] end
  if random(6) == 1 then out[#out + 1] = "$" end
  return table.concat(out)
end

local function subject(random)
  local out = {}
  for i = 1, random(16) - 1 do out[i] = bytes[random(#bytes)] end
  return table.concat(out)
end

local function show(ok, ...)
  local out = { ok and "ok" or "error" }
  for i = 1, select("#", ...) do
    local v = select(i, ...)
    out[#out + 1] = math.type(v) or type(v)
    local text = type(v) == "table" and "table" or tostring(v)
    if not ok then text = text:match "pattern_cases.lua:%d+: (.*)" or text end
    out[#out + 1] = ("%q"):format(text)
  end
  return (table.concat(out, " "):gsub("\n", "n"))
end

local function walk(s, p, init)
  local out, n = {}, 0
  for a, b, c in string.gmatch(s, p, init) do
    n = n + 1
    out[n] = tostring(a) .. "," .. tostring(b) .. "," .. tostring(c)
  end
  return table.concat(out, ";")
end

local replacements = {
  function(random) return texts[random(#texts)] end,
  function() return { a = "table", b = 1, x = false, ["1"] = 1.5, [1] = "one", c = {} } end,
  function() return function(a, b) return a == "a" and b or a == "b" and "B" or a == "x" and {} or nil end end,
  function() return 42 end,
  function() return nil end,
}

local function one(random)
  local s, p = subject(random), pattern(random)
  local what = random(6)
  local init = random(3) == 1 and random(40) - 20 or nil
  if what == 1 then return show(pcall(string.find, s, p, init)) end
  if what == 2 then return show(pcall(string.find, s, p, init, true)) end
  if what == 3 then return show(pcall(string.match, s, p, init)) end
  if what == 4 then return show(pcall(walk, s, p, init)) end
  local limit = random(4) == 1 and random(4) - 2 or nil
  return show(pcall(string.gsub, s, p, replacements[random(#replacements)](random), limit))
end

function cases.transcript(seed, count)
  local random, out = generator(seed), {}
  for i = 1, count do out[i] = one(random) end
  return out
end

if arg and arg[0]:find "pattern_cases" then
  for _, line in ipairs(cases.transcript(math.tointeger(arg[1]), math.tointeger(arg[2]))) do print(line) end
end

return cases
