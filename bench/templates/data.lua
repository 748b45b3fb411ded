-- Writes the contexts that every engine renders: data.lua FOLDER. Eight for each template, so that
-- nothing is measured that only works because it saw the same values before.
local json = require "host.json"

local folder = arg[1]
local seed = 12345

-- The same numbers on every machine and in every language.
local function random(n)
  seed = (seed * 1103515245 + 12345) % 2147483648
  return seed // 65536 % n
end

local words = { "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota",
  "kappa", "R&D", "<none>" }
local function word() return words[random(#words) + 1] end

local make = {}

function make.badge()
  return { width = 90 + random(40), split = 40 + random(10), label = word(),
    value = random(1000) .. "%", color = random(2) == 0 and "#e05d44" or nil }
end

function make.chart()
  local bars = {}
  for i = 1, 60 do
    bars[i] = { value = random(3) == 0 and random(200) or random(20000) / 100, label = word() }
  end
  return { width = 640, height = 220, title = "Latency of " .. word(), limit = 150, step = 10,
    bars = bars, unit = "ms" }
end

function make.table()
  local rows = {}
  for i = 1, 1000 do
    rows[i] = { name = word() .. " " .. word(), email = word():gsub("%W", "") .. random(10000)
      .. "@example.org", count = random(100000), share = random(10000) / 100,
      active = random(2) == 0 }
  end
  return { columns = { "Name", "Mail", "Count", "Share", "Active" }, rows = rows }
end

function make.page()
  local posts = {}
  for i = 1, 20 do
    local tags = {}
    for k = 1, 5 do tags[k] = word() end
    posts[i] = { title = "The " .. word() .. " of " .. word(), author = { name = "Ann " .. word() },
      date = ("2026-%02d-%02d"):format(1 + random(12), 1 + random(28)),
      body = "<p>" .. (word() .. " "):rep(40) .. "</p>", tags = tags }
  end
  local menu = {}
  for i = 1, 8 do menu[i] = { url = "/" .. words[i], text = words[i] } end
  return { lang = "en", site = "An example", year = 2026, path = "/beta", menu = menu,
    title = "All about " .. word(), posts = posts }
end

for name, contexts in pairs(make) do
  local list = {}
  for i = 1, 8 do list[i] = contexts() end
  local file = assert(io.open(("%s/%s.json"):format(folder, name), "wb"))
  file:write(json.encode(list, { sort = true, max_size = 1 << 26 }))
  file:close()
end
