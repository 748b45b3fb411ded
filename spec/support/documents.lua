-- The documents as specs read them: their fenced blocks in order.
--   a first line that is a comment with a path   the file of that path
--   ```console                                   `$ command`, and below it what it prints; `...`
--                                                stands for any text, also of several lines
local documents = {}


function documents.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end


-- The path that a block's first line names, in the comment of Lua, HTML, templates or JavaScript.
local function path_of(first)
  local inside = first:match "^%-%-%s+(%S+)$" or first:match "^<!%-%-%s+(%S+)%s+%-%->$"
    or first:match "^{#%s+(%S+)%s+#}$" or first:match "^//%s+(%S+)$"
  return inside and inside:find "^[%w_.-]+[/.][%w_./-]*$" and inside
end


--- The fenced blocks of a document: language, text, the line it begins at, and its path, if it names
--- one.
---@param text string
---@return { language: string, text: string, line: integer, path: string|nil }[]
function documents.blocks(text)
  local list, block, number = {}, nil, 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    local fence = line:match "^```(.*)$"
    if fence and block then
      block.text = table.concat(block, "\n") .. "\n"
      block.path = path_of(block[1] or "")
      list[#list + 1], block = block, nil
    elseif fence then
      block = { language = fence, line = number + 1 }
    elseif block then
      block[#block + 1] = line
    end
  end
  return list
end


--- The commands of a console block, each with what it prints.
---@param text string
---@return { command: string, output: string }[]
function documents.commands(text)
  local list = {}
  for line in text:gmatch "(.-)\n" do
    local command = line:match "^%$ (.+)$"
    if command then
      list[#list + 1] = { command = command, output = "" }
    else
      list[#list].output = list[#list].output .. line .. "\n"
    end
  end
  return list
end


--- Is this what a command prints? `...` stands for any text.
---@param output string
---@param expected string
---@return boolean
function documents.fits(output, expected)
  local pattern = expected:gsub("%s+$", ""):gsub("%p", "%%%0"):gsub("%%%.%%%.%%%.", ".-")
  return output:gsub("%s+$", ""):find("^" .. pattern .. "$") ~= nil
end

return documents
