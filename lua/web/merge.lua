-- JSON Merge Patch, RFC 7396: objects are merged, null removes, everything else replaces. Neither
-- the target nor the patch is changed; the result shares what is equal with both.
local check = require "web.check"
local json = require "host.json"

local is_object, null = check.is_object, json.null


---@param target any
---@param patch any
---@return any merged
local function merge(target, patch)
  if not is_object(patch) then return patch end
  local merged = {}
  if is_object(target) then
    for name, value in pairs(target) do merged[name] = value end
  end
  for name, value in pairs(patch) do
    if value == null then
      merged[name] = nil
    else
      merged[name] = merge(merged[name], value)
    end
  end
  return merged
end

return merge
