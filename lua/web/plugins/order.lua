-- In which order plugins are set up: as config.lua lists them, but what a plugin requires before
-- itself.
local order = {}


local function visit(self, name, asked_by)
  local manifest = self.manifests[name]
  if not manifest then
    error(('plugin "%s" requires "%s", which is not enabled; add it to the list `plugins` of '
      .. "config.lua"):format(asked_by, name), 0)
  end
  if self.state[name] == "done" then return end
  table.insert(self.path, name)
  if self.state[name] == "open" then
    error("plugins require each other in a circle: " .. table.concat(self.path, " -> "), 0)
  end
  self.state[name] = "open"
  for _, needed in ipairs(manifest.requires or {}) do visit(self, needed, name) end
  self.state[name] = "done"
  table.remove(self.path)
  table.insert(self.sorted, name)
end


--- Names in the order of their set-up; a missing one and a circle are raised.
---@param names string[]
---@param manifests table<string, { requires?: string[] }>
---@return string[]
function order.of(names, manifests)
  local self = { manifests = manifests, state = {}, path = {}, sorted = {} }
  for _, name in ipairs(names) do visit(self, name) end
  return self.sorted
end

return order
