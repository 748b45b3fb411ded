-- {{ 12345 | si }}: 12.3k. Short numbers with the prefixes of the SI, from n to P.
local arguments = require "web.arguments"

local prefixes = {
  { 1e15, "P" }, { 1e12, "T" }, { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" }, { 1, "" },
  { 1e-3, "m" }, { 1e-6, "µ" }, { 1e-9, "n" },
}

local function trimmed(text)
  if not text:find(".", 1, true) then return text end
  return (text:gsub("%.?0+$", ""))
end

---@param value number
---@param args { digits: integer?, unit: string? }  at most so many digits after the point
---@return string
return function(value, args)
  local x = arguments.number_value(value)
  local form = "%." .. arguments.integer(args, "digits", 0, 6, 1) .. "f"
  local unit = arguments.string(args, "unit", "")
  local size = math.abs(x)
  if size == 0 then return "0" .. unit end
  for i, prefix in ipairs(prefixes) do
    if size >= prefix[1] or i == #prefixes then
      local text = trimmed(form:format(x / prefix[1]))
      -- 999.96 rounds to 1000, which is 1 of the next prefix.
      if i > 1 and math.abs(tonumber(text)) >= 1000 then
        prefix = prefixes[i - 1]
        text = trimmed(form:format(x / prefix[1]))
      end
      return text .. prefix[2] .. unit
    end
  end
end
