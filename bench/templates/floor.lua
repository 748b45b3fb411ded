-- The floor: what hand-written Lua needs for the same text, as a template of etlua compiles to it
-- (a function that fills a table), with escaping and no checks. floor.lua DATA OUT SECONDS.
local json = require "host.json"
local time = require "host.time"

local data, out, seconds = arg[1], arg[2], tonumber(arg[3])

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
  ["'"] = "&#x27;", ["/"] = "&#x2F;" }

local function escape(v)
  return (tostring(v):gsub("[&<>\"'/]", entities))
end

local render = {}

function render.badge(c)
  local o, n = {}, 0
  local function put(s) n = n + 1 o[n] = s end
  put '<svg xmlns="http://www.w3.org/2000/svg" width="' put(escape(c.width))
  put '" height="20" role="img" aria-label="' put(escape(c.label)) put ": " put(escape(c.value))
  put '">\n<rect width="' put(escape(c.width)) put '" height="20" rx="3" fill="#555"/>\n<rect x="'
  put(escape(c.split)) put '" width="' put(escape(c.width - c.split))
  put '" height="20" rx="3" fill="' put(escape(c.color or "#4c1"))
  put '"/>\n<g fill="#fff" text-anchor="middle" font-size="11"><text x="'
  put(("%.14g"):format(c.split / 2)) put '" y="14">' put(escape(c.label:upper()))
  put '</text><text x="' put(("%.14g"):format(c.split + (c.width - c.split) / 2))
  put '" y="14">' put(escape(c.value)) put '</text></g>\n</svg>\n'
  return table.concat(o)
end

function render.chart(c)
  local o, n = {}, 0
  local function put(s) n = n + 1 o[n] = s end
  put '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ' put(escape(c.width)) put " "
  put(escape(c.height)) put '">\n<title>' put(escape(c.title))
  put '</title>\n<g transform="translate(40,10)">'
  for i, bar in ipairs(c.bars) do
    local v = bar.value
    if v > 0 then
      put '\n<rect x="' put(escape((i - 1) * c.step)) put '" y="'
      put(("%.15g"):format(c.height - v)) put '" width="' put(escape(c.step - 2)) put '" height="'
      put(("%.15g"):format(v)) put(v >= c.limit and '" class="high"/>' or '"/>')
    else
      put '\n<line x1="' put(escape((i - 1) * c.step)) put '" y1="' put(escape(c.height))
      put '" x2="' put(escape(i * c.step)) put '" y2="' put(escape(c.height)) put '"/>'
    end
    if (i - 1) % 5 == 0 or i == #c.bars then
      put '\n<text x="' put(escape((i - 1) * c.step)) put '" y="' put(escape(c.height + 12))
      put '">' put(escape(bar.label:upper())) put ": "
      put(("%.15g"):format(math.floor(v * 10 + 0.5) / 10)) put "</text>"
    end
  end
  put '\n</g>\n<text x="4" y="' put(("%.14g"):format(c.height / 2)) put '">'
  put(escape(c.unit or "ms")) put ", " put(escape(#c.bars)) put " samples</text>\n</svg>\n"
  return table.concat(o)
end

function render.table(c)
  local o, n = {}, 0
  local function put(s) n = n + 1 o[n] = s end
  put "<table>\n<thead><tr><th>#</th>"
  for _, column in ipairs(c.columns) do put "<th>" put(escape(column)) put "</th>" end
  put "</tr></thead>\n<tbody>\n"
  for i, row in ipairs(c.rows) do
    put '<tr class="' put((i - 1) % 2 == 0 and "even" or "odd") put '"><td>' put(escape(i))
    put "</td><td>" put(escape(row.name)) put "</td><td>" put(escape(row.email))
    put "</td><td>" put(escape(row.count)) put "</td><td>" put(("%.15g"):format(row.share))
    put "</td><td>" put(row.active and "yes" or "no") put "</td></tr>\n"
  end
  put "</tbody>\n</table>\n"
  return table.concat(o)
end

function render.page(c)
  local o, n = {}, 0
  local function put(s) n = n + 1 o[n] = s end
  put '<!doctype html>\n<html lang="' put(escape(c.lang))
  put '">\n<head><meta charset="utf-8"><title>' put(escape(c.title)) put " - " put(escape(c.site))
  put "</title></head>\n<body>\n<nav>"
  for _, item in ipairs(c.menu) do
    put '<a href="' put(escape(item.url)) put '"'
    if item.url == c.path then put ' class="here"' end
    put ">" put(escape(item.text)) put "</a>"
  end
  put "</nav>\n<main>\n<h1>" put(escape(c.title)) put "</h1>\n"
  for _, post in ipairs(c.posts) do
    put '\n<article>\n<h2 id="' put(escape((post.title:lower():gsub(" ", "-")))) put '">'
    put(escape(post.title)) put '</h2>\n<p class="by">' put(escape(post.author.name)) put ", "
    put(escape(post.date)) put "</p>\n" put(post.body) put "\n"
    for i, tag in ipairs(post.tags) do
      put '<a class="tag" href="/tags/' put(escape(tag)) put '">' put(escape(tag)) put "</a>"
      if i < #post.tags then put ", " end
    end
    put "\n</article>\n"
  end
  put "\n</main>\n<footer>" put(escape(c.site)) put ", " put(escape(c.year))
  put "</footer>\n</body>\n</html>\n"
  return table.concat(o)
end

local function measure(f)
  local best, n = math.huge, 1
  local stop = time.monotonic() + seconds
  while true do
    local from = time.monotonic()
    for i = 1, n do f(i) end
    local spent = time.monotonic() - from
    if spent < 0.01 then n = n * 2 else best = math.min(best, spent / n) end
    if time.monotonic() > stop then return best * 1e6 end
  end
end

local result = {}
for name, f in pairs(render) do
  local file = assert(io.open(("%s/%s.json"):format(data, name), "rb"))
  local contexts = assert(json.decode(file:read "a", { max_size = 1 << 26 }))
  file:close()
  local written = assert(io.open(("%s/%s.floor"):format(out, name), "wb"))
  written:write(f(contexts[1]))
  written:close()
  result[name] = measure(function(i) return f(contexts[i % 8 + 1]) end)
end
print(json.encode({ ["plain Lua"] = result }, { sort = true }))
