-- What is wrong with scripts, as lines for a person: place, message, source.
---@param wrong table { error or message, file, line, excerpt }
---@return string
return function(wrong)
  local place = wrong.file and wrong.file .. (wrong.line and ":" .. wrong.line or "") .. ": " or ""
  local text = place .. (wrong.error or wrong.message or "?")
  return wrong.excerpt and text .. "\n" .. wrong.excerpt or text
end
