-- The types for editors are complete: every function that a module really has is annotated, and none
-- is annotated that is not there.
local json = require "host.json"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"

local BINARY = uv.fs_realpath(server.BINARY)

-- A command has every module, also those that are for commands alone.
local KEYS = [[
local json = require "host.json"
return { summary = "x", run = function(call)
  local found = {}
  for name in pairs(package.preload) do
    if name:find "^host%." then
      local keys = {}
      for key, value in pairs(require(name)) do keys[key] = type(value) end
      found[name] = keys
    end
  end
  call:record(found)
end }
]]

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end


local function lua_files(folder)
  local list = {}
  local scan = assert(uv.fs_scandir(folder))
  for name, kind in function() return uv.fs_scandir_next(scan) end do
    if kind == "file" and name:find "%.lua$" then list[#list + 1] = folder .. "/" .. name end
  end
  table.sort(list)
  return list
end


-- The names that a meta file gives its module: functions, and fields of its class.
local function annotated(text, module)
  local stem, found = module:match "[^.]+$", {}
  local class = text:match("%-%-%-@class " .. module:gsub("%.", "%%.") .. "[^\n]*\n(.-)\nlocal ")
  for name in (class or ""):gmatch "%-%-%-@field ([%w_]+)" do found[name] = "field" end
  local returned = text:match "\nreturn ([%w_]+)%s*$" or stem
  for name in text:gmatch("\nfunction " .. returned .. "%.([%w_]+)%(") do found[name] = "function" end
  return found
end


describe("the annotations of host.*", function()
  local metas = {}
  for _, path in ipairs(lua_files "lua/meta") do
    local text = read(path)
    local module = text:match "^%-%-%-@meta (host%.[%w_]+)"
    if module then metas[module] = annotated(text, module) end
  end

  local folder = server.folder()
  server.write(folder, { ["lua/commands/keys_of.lua"] = KEYS })
  local p = process.run(BINARY, { "keys_of", "--app", folder })
  local modules = json.decode(p.out) or error(p.err)

  it("cover every module", function()
    for module in pairs(modules) do assert.is_truthy(metas[module], module .. " has no lua/meta file") end
    for module in pairs(metas) do assert.is_truthy(modules[module], module .. " is no module") end
  end)

  it("cover every function and field of each, and no other", function()
    local missing, wrong = {}, {}
    for module, keys in pairs(modules) do
      local meta = metas[module] or {}
      for key, kind in pairs(keys) do
        if not meta[key] then missing[#missing + 1] = ("%s.%s (%s)"):format(module, key, kind) end
      end
      for key, kind in pairs(meta) do
        if kind == "function" and keys[key] ~= "function" then wrong[#wrong + 1] = module .. "." .. key end
      end
    end
    table.sort(missing)
    table.sort(wrong)
    assert.same({}, missing)
    assert.same({}, wrong)
  end)
end)


-- Is the function that begins at a line annotated, directly above it?
local function has_comment(path, line)
  local lines = {}
  for text in (read(path) .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = text end
  return lines[line - 1] ~= nil and lines[line - 1]:find "^%-%-%-" ~= nil
    or (lines[line] or ""):find "^return function" ~= nil and lines[line - 1]:find "^%-%-%-" ~= nil
end


describe("the annotations of web.*", function()
  it("stand above every public function", function()
    local bare = {}
    local skip = { ["lua/web/template.lua"] = true }
    for _, path in ipairs(lua_files "lua/web") do
      local text = read(path)
      local module = text:match "\nreturn ([%w_]+)%s*$"
      local number = 0
      for line in (text .. "\n"):gmatch "(.-)\n" do
        number = number + 1
        local public = module and line:match("^function " .. module .. "[.:]([%w_]+)%(")
        if public and not skip[path] and not has_comment(path, number) then
          bare[#bare + 1] = ("%s:%d %s"):format(path, number, public)
        end
      end
    end
    assert.same({}, bare)
  end)

  it("name what `require \"web\"` has", function()
    local web = require "web"
    for name, value in pairs(web) do
      assert.is_truthy(type(value) == "function", name)
    end
  end)
end)
