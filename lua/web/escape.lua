-- Text as HTML or XML: `escape("<b>")` is "&lt;b&gt;", good in content and in quoted attributes.
local ENTITIES = {
  ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;",
}


---@param text string
---@return string
return function(text)
  return (text:gsub("[&<>\"']", ENTITIES))
end
