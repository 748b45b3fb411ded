-- What a route says of itself: `describe = { POST = { summary, body, query, params, answers } }`.
-- The schemas are checked before the handler runs, inside of all middleware (who may not come in
-- learns nothing of what is expected); the checked values are in req.valid. The same table is what
-- web.openapi writes down, so that the document can't differ from what is enforced.
local schema = require "web.schema"

local describe = {}

local KEYS = {
  summary = true, about = true, tags = true, body = true, query = true, params = true,
  answers = true, open = true,
}
local PARTS = { "params", "query", "body" }

---@class web.Description of one method
---@field summary? string one line
---@field about? string more, in CommonMark
---@field tags? string[]
---@field body? web.Schema of the JSON body
---@field query? web.Schema
---@field params? web.Schema of the path's {names}
---@field answers? table<integer, web.Schema|string> by status: the JSON body, or a sentence
---@field open? boolean needs no token


local function fail(origin, text, ...)
  error(("%s: " .. text):format(origin, ...), 0)
end


--- Checks a description and puts the check of requests around the handler.
---@param handler fun(req: web.Request): web.Response
---@param description web.Description|nil
---@param name string "POST /posts"
---@param origin string the file, for error messages
---@return fun(req: web.Request): web.Response
function describe.wrap(handler, description, name, origin)
  if description == nil then return handler end
  if type(description) ~= "table" then fail(origin, "describe of %s is no table", name) end
  for key in pairs(description) do
    if not KEYS[key] then fail(origin, 'describe of %s has no key "%s"', name, tostring(key)) end
  end
  local wanted = {}
  for _, part in ipairs(PARTS) do
    local what = ("%s: %s %s"):format(origin, name, part)
    if description[part] then wanted[part] = schema.compile(description[part], what) end
  end
  if next(wanted) == nil then return handler end
  return function(req)
    req.valid = schema.request(req, wanted)
    return handler(req)
  end
end

return describe
