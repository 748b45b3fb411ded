-- The specs of an application, run by busted inside this process: with every host.* module, waits
-- that are waits, and host.test to start the application from.
local files = require "cli.files"

local ROCKS = "/usr/share/lua/5.4/?.lua;/usr/share/lua/5.4/?/init.lua;"
  .. "/usr/local/share/lua/5.4/?.lua;/usr/local/share/lua/5.4/?/init.lua;"


-- Ours are taken out; the rest is busted's.
local function split(words)
  local own, rest, i = {}, {}, 1
  while i <= #words do
    local word = words[i]
    local name, value = word:match "^%-%-(url)=?(.*)$"
    if not name then name, value = word:match "^%-%-(seed)=?(.*)$" end
    if name then
      if value == "" then
        i = i + 1
        value = words[i]
      end
      own[name] = value
    elseif i == 1 and not word:find "^%-" and files.exists(word .. "/lua") then
      own.folder = word
    else
      rest[#rest + 1] = word
    end
    i = i + 1
  end
  return own, rest
end


local function has_paths(rest)
  for _, word in ipairs(rest) do
    if not word:find "^%-" then return true end
  end
  return false
end


local function prepare(folder)
  package.path = ("%s/?.lua;%s/lua/?.lua;%s/lua/?/init.lua;"):format(folder, folder, folder)
    .. package.path .. ";" .. ROCKS
end


local function set_up(own, folder)
  local test = require "host.test"
  test.folder, test.url = folder, own.url
  test.seed = math.tointeger(tonumber(own.seed)) or math.random(1, 2^31)
  math.randomseed(test.seed)
  return test
end


-- busted ends the process by itself; here it is the task that must end, in order.
local function run(words)
  local ended = {}
  os.exit = function(code) -- luacheck: ignore 122
    ended.code = code == true and 0 or code == false and 1 or code or 0
    error(ended, 0)
  end
  _G.arg = words -- luacheck: ignore 122
  local ok, err = pcall(function()
    require "busted.runner" { standalone = false }
    os.exit(0)
  end)
  require("host.test.process").kill_all()
  if not ok and err ~= ended then error(err, 0) end
  return ended.code
end


return {
  summary = "run the application's specs",
  usage = "test [DIR] [--url URL] [--seed N] [busted's options and paths]",
  about = [[
Runs DIR/spec by busted (Debian: lua-busted), each spec with applications of its own:
`local app = require("host.test").app()`. With --url they run against a server that is there.
Everything else goes to busted: --filter, --tags, --output, files.]],
  raw = true,
  examples = {
    "lunacast test", "lunacast test shop --filter=cart", "lunacast test --output=junit",
    "lunacast test --url http://127.0.0.1:3000",
  },
  run = function(call)
    local own, rest = split(call.words)
    local folder = own.folder or call.folder
    prepare(folder)
    if not pcall(require, "busted.runner") then
      call:fail "busted is not installed: apt-get install lua-busted, or luarocks install busted"
    end
    if not has_paths(rest) then
      if not files.exists(folder .. "/spec") then
        call:fail("%s/spec is not there; `lunacast new route NAME` makes a first spec", folder)
      end
      rest[#rest + 1] = folder .. "/spec"
    end
    local test = set_up(own, folder)
    rest[0] = "lunacast test"
    local code = run(rest)
    if code ~= 0 then call:note("seed %d; --seed %d repeats it", test.seed, test.seed) end
    return code
  end,
}
