-- The application's own templates: those in templates/, in one environment per VM.
local file = require "host.file"

local templates = {}

local FOLDER = "templates"
local DEPTH = 12

local environment -- made at first use: the engine is large, and most routes render nothing


--- The environment that they share.
---@return TemplateEnvironment
function templates.environment()
  environment = environment or require("web.template").environment { source = FOLDER }
  return environment
end


-- Files that have a tag; a picture or a stylesheet beside them is none of ours.
local function is_template(text)
  return text:find("{[{%%#]") ~= nil
end


local function collect(folder, prefix, options, depth, found)
  local ok, names = pcall(file.list, folder, options)
  if not ok or depth == 0 then return found end
  for _, name in ipairs(names) do
    local path = folder .. "/" .. name
    local text = file.source(path)
    if not text then
      collect(path, prefix .. name .. "/", options, depth - 1, found)
    elseif is_template(text) then
      found[#found + 1] = prefix .. name
    end
  end
  return found
end


--- Reads the application's own now, so that a request of this VM never sees a file that was saved
--- after it: with a reload all change at once, or none.
function templates.read()
  local own = templates.names { own = true }
  if #own == 0 then return end
  local read = templates.environment().source.read
  for _, name in ipairs(own) do read(name) end
end


--- The names of all, in folders too.
---@param options? { own?: boolean } own: without those that come with lunacast
---@return string[]
function templates.names(options)
  return collect(FOLDER, "", options, DEPTH, {})
end

return templates
