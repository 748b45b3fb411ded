-- "Did you mean": the word closest to a mistyped one by edit distance, as src/base/nearest.c does
-- for settings. Neighbours that changed places count as one edit.

local function distance(a, b)
  local rows = { [0] = {} }
  for j = 0, #b do rows[0][j] = j end
  for i = 1, #a do
    rows[i] = { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, rows[i - 2][j - 2] + 1)
      end
      rows[i][j] = best
    end
  end
  return rows[#a][#b]
end


--- The nearest of some words; nil when none is close enough to be what was meant.
---@param word string
---@param words string[]
---@return string|nil
return function(word, words)
  local best, least
  for _, candidate in ipairs(words) do
    local d = distance(word:lower(), candidate:lower())
    if candidate:sub(1, #word) == word and #word >= 3 then d = math.min(d, 1) end
    if not least or d < least then best, least = candidate, d end
  end
  if best and least <= math.max(1, #word // 3) then return best end
end
