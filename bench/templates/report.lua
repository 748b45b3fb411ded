-- The table of bench/templates/run: report.lua DATA JSON. The pictures of all engines must be the
-- same, but for whitespace and the ways to write an entity or a whole float.
local json = require "host.json"

local data, target = arg[1], arg[2]

local order = { "lunacast", "Tera 1.x", "MiniJinja", "Jinja2", "Nunjucks", "plain Lua" }
local suffixes = { ["Tera 1.x"] = "tera", MiniJinja = "minijinja", Jinja2 = "jinja2",
  Nunjucks = "nunjucks", ["plain Lua"] = "floor" }
local templates = { "badge", "chart", "table", "page" }

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local times = {}
for _, name in ipairs { "lunacast", "rust", "python", "node", "floor" } do
  for engine, result in pairs(assert(json.decode(read(("%s/%s.out"):format(data, name))))) do
    times[engine] = result
  end
end

local same = { ["&#x2F;"] = "/", ["&#x2f;"] = "/", ["&#x27;"] = "'", ["&#39;"] = "'",
  ["&#34;"] = "&quot;" }

-- The floor's hand-written code rounds to 15 digits; it is not compared.
suffixes["plain Lua"] = nil

local function plain(text)
  text = text:gsub("&#%w+;", same):gsub("%s+", " "):gsub("> ", ">"):gsub(" <", "<")
  return (text:gsub("(%d)%.0([^%d])", "%1%2"))
end

for _, name in ipairs(templates) do
  local ours = plain(read(("%s/rendered/%s.lunacast"):format(data, name)))
  for engine, suffix in pairs(suffixes) do
    local theirs = plain(read(("%s/rendered/%s.%s"):format(data, name, suffix)))
    if ours ~= theirs then
      error(("%s renders the %s differently; compare %s/rendered/%s.*"):format(engine, name, data,
        name))
    end
  end
end

local function cell(us)
  if not us then return "-" end
  return (us < 100 and "%.1f" or "%.0f"):format(us)
end

print(("%-12s %12s %12s %12s %12s   %s"):format("microseconds", "badge", "chart", "table", "page",
  "chart, compiled and rendered"))
for _, engine in ipairs(order) do
  local t = times[engine]
  print(("%-12s %12s %12s %12s %12s   %s"):format(engine, cell(t.badge), cell(t.chart),
    cell(t.table), cell(t.page), cell(t.chart_first)))
end

local file = assert(io.open(target, "wb"))
file:write(json.encode({ unit = "microseconds", times = times }, { pretty = true, sort = true }), "\n")
file:close()
