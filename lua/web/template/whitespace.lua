-- Whitespace control: what `-` in a tag's delimiter strips. It works on the finished tree, because
-- a `-` reaches only the text that directly precedes or follows its tag, never past another tag.
-- As in Tera, a `for`'s else is not stripped by its own tag, and `{%- endfor` strips the main body.
local whitespace = {}

local byte, find, sub = string.byte, string.find, string.sub

-- White_Space beyond ASCII, by UTF-8 length.
local wide = { ["\194\133"] = true, ["\194\160"] = true, ["\225\154\128"] = true,
  ["\226\128\168"] = true, ["\226\128\169"] = true, ["\226\128\175"] = true,
  ["\226\129\159"] = true, ["\227\128\128"] = true }
for last = 128, 138 do wide["\226\128" .. string.char(last)] = true end

--- The first byte from `at` on that is not White_Space, or the one after the end.
---@param text string
---@param at integer
---@return integer
function whitespace.skip(text, at)
  while true do
    at = find(text, "[^\t-\r ]", at) or #text + 1
    local n = byte(text, at) == 194 and 2 or 3
    if not wide[sub(text, at, at + n - 1)] then return at end
    at = at + n
  end
end

--- Without leading White_Space.
---@param text string
---@return string
function whitespace.trim_start(text)
  local at = whitespace.skip(text, 1)
  return at == 1 and text or sub(text, at)
end

--- Without trailing White_Space.
---@param text string
---@return string
function whitespace.trim_end(text)
  local to = #text
  while to > 0 do
    local c = byte(text, to)
    if c == 32 or c >= 9 and c <= 13 then
      to = to - 1
    elseif c < 128 then
      break
    elseif wide[sub(text, to - 1, to)] then
      to = to - 2
    elseif wide[sub(text, to - 2, to)] then
      to = to - 3
    else
      break
    end
  end
  return to == #text and text or sub(text, 1, to)
end

local function trim_last(nodes)
  local last = nodes[#nodes]
  if not last or last.op ~= "text" then return end
  last.value = whitespace.trim_end(last.value)
  if last.value == "" then nodes[#nodes] = nil end
end

local strip

-- The bodies of an `if`: every `elif`, `else` and the `endif` trims the end of the body before it.
local function strip_branches(node)
  local bodies = node.branches
  for i, branch in ipairs(bodies) do
    branch.body = strip(branch.body, branch.inner_left, false)
    if i > 1 and branch.left then trim_last(bodies[i - 1].body) end
  end
  if node.inner_right then trim_last(bodies[#bodies].body) end
end

---@param nodes table[]
---@param left boolean?   trim the first text's start
---@param right boolean?  trim the last text's end
---@return table[]
function strip(nodes, left, right)
  local result = {}
  local after_text = false
  for _, node in ipairs(nodes) do
    if node.op == "text" then
      if left then
        node.value = whitespace.trim_start(node.value)
        left = false
      end
      if node.value ~= "" then result[#result + 1] = node end
      after_text = true
    else
      if after_text and node.left then trim_last(result) end
      left = node.right or false
      after_text = false
      if node.op == "raw" then
        if node.inner_left then node.value = whitespace.trim_start(node.value) end
        if node.inner_right then node.value = whitespace.trim_end(node.value) end
      elseif node.op == "if" then
        strip_branches(node)
      elseif node.body then
        node.body = strip(node.body, node.inner_left, node.inner_right)
      end
      result[#result + 1] = node
    end
  end
  if right then trim_last(result) end
  return result
end
whitespace.strip = strip

return whitespace
