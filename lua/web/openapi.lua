-- The OpenAPI 3.1 document of the routes that describe themselves (web.describe), made once per VM.
-- A route that says nothing is not in it: a document that guesses is worse than none.
local json = require "host.json"
local schema = require "web.schema"

local openapi = {}

local WHY = {
  [200] = "done", [201] = "made", [202] = "accepted", [204] = "done, nothing to say",
  [304] = "not changed", [400] = "the request is wrong", [401] = "no token, or not a good one",
  [403] = "not yours", [404] = "there is no such thing", [409] = "it exists, or has changed",
  [412] = "it has changed", [413] = "too large", [415] = "not JSON", [422] = "can't be done",
  [429] = "too many requests", [503] = "try again in a moment",
}
local ERROR = { fields = {
  error = { type = "string", about = "what was wrong and what to do, for people" },
  code = { type = "string", about = "a stable word, for programs" },
}, open = true }

-- What the server takes as a segment of a path.
local SEGMENT <const> = [[^[^/\\\x00-\x1f\x7f]+$]]

local function array(list)
  return setmetatable(list, json.array_mt)
end


local function parameters(place, s, list)
  local written = schema.json(s, true)
  local required = {}
  for _, name in ipairs(written.required or {}) do required[name] = true end
  local names = {}
  for name in pairs(written.properties or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local field = written.properties[name]
    local about = field.description
    field.description = nil
    list[#list + 1] = { name = name, ["in"] = place, required = place == "path" or
      required[name] or nil, description = about, schema = field }
  end
end


local function answer(status, what)
  if type(what) == "string" then return { description = what } end
  local content = { ["application/json"] = { schema = schema.json(what) } }
  return { description = WHY[status] or "answer", content = content }
end


-- A route that words its errors itself has them without a schema here. What no status names is an
-- error, unless the description names no good answer at all: then it is anything.
local function answers(description, route)
  local made, good = {}, false
  for status, what in pairs(description.answers or {}) do
    made[tostring(status)] = answer(status, what)
    good = good or status < 400
  end
  local errors = { 400, 413, 503 }
  if not description.open then errors[#errors + 1] = 401 end
  if description.body then errors[#errors + 1] = 415 end
  for _, status in ipairs(errors) do
    local what = route.errors and WHY[status] or ERROR
    made[tostring(status)] = made[tostring(status)] or answer(status, what)
  end
  made.default = answer("default", good and not route.errors and ERROR or "answer")
  return made
end


-- The {names} of a path that no description has are texts.
local function path_parameters(path, params, list)
  local known = {}
  if params then parameters("path", params, list) end
  for _, parameter in ipairs(list) do known[parameter.name] = true end
  for name in path:gmatch "{([^}]+)}" do
    if not known[name] then
      list[#list + 1] = { name = name, ["in"] = "path", required = true,
        schema = { type = "string", pattern = SEGMENT } }
    end
  end
end


local function operation(description, route)
  local made = {
    summary = description.summary, description = description.about,
    tags = description.tags and array { table.unpack(description.tags) },
    responses = answers(description, route), security = description.open and array {} or nil,
  }
  local list = array {}
  path_parameters(route.path, description.params, list)
  if description.query then parameters("query", description.query, list) end
  if #list > 0 then made.parameters = list end
  if description.body then
    local content = { ["application/json"] = { schema = schema.json(description.body) } }
    made.requestBody = { required = not description.body.optional, content = content }
  end
  return made
end


--- The document, a plain table.
---@param endpoints web.Endpoint[]
---@param info { title: string, version: string }
---@return table
function openapi.document(endpoints, info)
  local paths = {}
  for _, endpoint in ipairs(endpoints) do
    local route = endpoint.route
    local description = route.describe and route.describe[endpoint.method]
    if description then
      paths[route.path] = paths[route.path] or {}
      paths[route.path][endpoint.method:lower()] = operation(description, route)
    end
  end
  return {
    openapi = "3.1.0",
    info = info,
    paths = paths,
    security = array { { bearer = array {} } },
    components = { securitySchemes = {
      bearer = { type = "http", scheme = "bearer", bearerFormat = "JWT" },
    } },
  }
end

return openapi
