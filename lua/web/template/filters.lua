-- The built-in filters by name: function(value, args, R). `safe` and `default` are not here, they
-- belong to the compiler.
local filters = {}

for _, part in ipairs { "filters_text", "filters_list", "filters_value" } do
  for name, filter in pairs(require("web.template." .. part)) do filters[name] = filter end
end

return filters
