---@meta host.template

--- The hot path of compiled templates; `web.template.runtime` is its only user.
local template = {}

---@class template.Handlers
---@field numbers fun(operator: string, a: any, b: any, at: integer)    raises
---@field overflow fun(operator: string, a: integer, b: integer, at: integer)  raises
---@field modulo fun(operator: string, a: integer, b: integer, at: integer)    raises
---@field unordered fun(a: any, b: any, at: integer, operator: string)  raises
---@field over fun(limit: integer)   raises: the output is larger
---@field print fun(value: any): string  what is no string, number or boolean

--- open(output|nil, limit, escape), put(output, mask, ...), mark(output), take(output, mark),
--- text(number), add, sub, mul, div, mod (a, b, at), less, less_equal (a, b, at, operator).
---@param handlers template.Handlers
---@return table<string, function>
function template.connect(handlers) end

return template
