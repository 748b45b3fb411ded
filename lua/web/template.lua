local template = {}
function template.strict() return { compile = function(_, text) return function(args)
  return (text:gsub("{{ *(%w+) *}}", function(k) return tostring(args[k]) end)) end end } end
return template
