-- From method and path to a handler.
--
-- All paths are found in a tree of segments, where a literal segment beats a parameter and a
-- parameter beats a tail. A search visits each node of the tree at most twice, whatever the path.
-- Those without `{name}` and `**` also stand in `static`, where C finds them by one look-up
-- (src/script/dispatch.c). Rejected: patterns tried in the order of their registration, where the
-- order of files decides what is served; one big regular expression, which can't say which two
-- routes collide.
--
-- Built once at load; two routes that would answer the same request are an error that names both.
-- What must never happen: a path that depends on the order in which files were read.
local router = {}
router.__index = router

local METHODS = {
  GET = true, HEAD = true, POST = true, PUT = true, PATCH = true, DELETE = true, OPTIONS = true,
}
local MAX_PARAMS = 16

local find, sub = string.find, string.sub


---@class web.Endpoint one method of one route
---@field method string
---@field call fun(req: web.Request): web.Response the handler with its middleware around it
---@field pattern string
---@field names string[] of its parameters, in the order of the path
---@field route table as the file returned it
---@field origin string the file

local function new_node()
  return { literal = {}, param = nil, tail = nil, methods = nil }
end


--- An empty router.
---@param socket? fun(handlers: table, plain: function|nil, path: string, origin: string): function
--- makes the GET handler of a route with WS
function router.new(socket)
  return setmetatable({ root = new_node(), endpoints = {}, socket = socket }, router)
end


local function fail(origin, text, ...)
  error(("%s: " .. text):format(origin, ...), 0)
end


local function split(path)
  local segments = {}
  local n = 0
  for segment in path:gmatch "/([^/]*)" do
    n = n + 1
    segments[n] = segment
  end
  return segments
end


-- The kinds of a pattern's segments: { "literal"|"param"|"tail", text }.
local function parse(pattern, origin)
  if type(pattern) ~= "string" or pattern:sub(1, 1) ~= "/" then
    fail(origin, 'a route needs a path that begins with "/", got %s', tostring(pattern))
  end
  local parts, names = {}, {}
  local segments = split(pattern)
  for i, segment in ipairs(segments) do
    local name = segment:match "^{([%a_][%w_]*)}$"
    if name then
      if names[name] then fail(origin, "%s names the parameter {%s} twice", pattern, name) end
      names[name] = true
      names[#names + 1] = name
      parts[i] = { "param", name }
    elseif segment == "**" then
      if i < #segments then fail(origin, "%s: ** is possible at the end only", pattern) end
      parts[i] = { "tail" }
    elseif segment:find "[{}*]" then
      fail(origin, '%s: the segment "%s" is neither a word, nor {name}, nor **', pattern, segment)
    else
      parts[i] = { "literal", segment }
    end
  end
  if #names > MAX_PARAMS then
    fail(origin, "%s has more than %d parameters", pattern, MAX_PARAMS)
  end
  return parts, names
end


local function node_for(node, parts)
  for _, part in ipairs(parts) do
    local kind, text = part[1], part[2]
    local next_node
    if kind == "literal" then
      next_node = node.literal[text] or new_node()
      node.literal[text] = next_node
    else
      next_node = node[kind] or new_node()
      node[kind] = next_node
    end
    node = next_node
  end
  node.methods = node.methods or {}
  return node
end


local function add_method(methods, method, endpoint)
  local other = methods[method]
  if other then
    fail(endpoint.origin, "%s %s answers the same requests as %s in %s; one needs another path (a "
      .. "file that is named like a built-in one replaces it)", method, endpoint.pattern,
      other.pattern, other.origin)
  end
  methods[method] = endpoint
end


-- Every upper-case field is a method; a wrong field is most likely a misspelt one.
local function methods_of(route, origin)
  local found = {}
  for field, value in pairs(route) do
    if METHODS[field] then
      if type(value) ~= "function" then
        fail(origin, "%s of %s is a %s, not a function", field, route.path, type(value))
      end
      found[#found + 1] = field
    elseif field == "WS" then
      if not route.GET then found[#found + 1] = "GET" end
    elseif type(field) == "string" and field:find "^%u" then
      fail(origin, "%s has no meaning in the route %s; methods are GET, HEAD, POST, PUT, PATCH, "
        .. "DELETE, OPTIONS, and WS", field, tostring(route.path))
    elseif type(field) ~= "string" then
      fail(origin, "the route %s has a field %s", tostring(route.path), tostring(field))
    end
  end
  if #found == 0 then fail(origin, "the route %s answers no method", tostring(route.path)) end
  table.sort(found)
  return found
end


-- What stands in `static` for the path of a node.
local function enter_static(self, node, path)
  local methods = node.methods or {}
  for method in pairs(METHODS) do
    local endpoint = methods[method] or method == "HEAD" and methods.GET
    self.static[method .. " " .. path] = endpoint and self.enter(endpoint, method) or nil
  end
end


-- Takes endpoints away again, from the tree and from the table of static paths.
local function remover(self, node, path, made)
  return function()
    for method, endpoint in pairs(node.methods or {}) do
      if made[endpoint] then node.methods[method] = nil end
    end
    if node.methods and next(node.methods) == nil then node.methods = nil end
    if self.static and not path:find "[{*]" then enter_static(self, node, path) end
    for i = #self.endpoints, 1, -1 do
      if made[self.endpoints[i]] then table.remove(self.endpoints, i) end
    end
  end
end


--- Adds one route table.
---@param route table { path, GET = function(req), ..., middleware = { ... } }
---@param origin string the file, for error messages
---@param wrap? fun(handler: function, route: table, origin: string, method: string): function
--- adds middleware
---@return fun() undo
function router:add(route, origin, wrap)
  if type(route) ~= "table" then fail(origin, "a route is a table, got a %s", type(route)) end
  local parts, names = parse(route.path, origin)
  local node = node_for(self.root, parts)
  local made = {}
  for _, method in ipairs(methods_of(route, origin)) do
    local handler = route[method]
    if method == "GET" and route.WS then
      handler = self.socket(route.WS, route.GET, route.path, origin)
    end
    local endpoint = {
      call = wrap and wrap(handler, route, origin, method) or handler,
      method = method, pattern = route.path, names = names, route = route, origin = origin,
    }
    add_method(node.methods, method, endpoint)
    self.endpoints[#self.endpoints + 1] = endpoint
    made[endpoint] = true
  end
  return remover(self, node, route.path, made)
end


local function enter_all(self, node, path)
  enter_static(self, node, path)
  for text, child in pairs(node.literal) do enter_all(self, child, path .. "/" .. text) end
end


--- Call once after the last add: makes the table of static paths, "GET /path" -> what `enter` makes
--- of the endpoint. A GET stands for HEAD where there is none.
---@param enter fun(endpoint: web.Endpoint, method: string): any
function router:finish(enter)
  self.static, self.enter = {}, enter
  enter_all(self, self.root, "")
end


local function endpoint_of(node, method, allowed)
  local methods = node and node.methods
  if not methods then return nil end
  local endpoint = methods[method]
  if endpoint then return endpoint end
  if method == "HEAD" and methods.GET then return methods.GET end
  if allowed then
    for name in pairs(methods) do allowed[name] = true end
  end
  return nil
end


-- Literal, then parameter, then tail. `at` is the slash before the segment that is to be matched,
-- nil at the path's end; a segment is cut out only when it is looked at. `params` is filled on the
-- way back from a hit, `depth` counts those before this node.
local function search(node, path, at, method, allowed, params, depth)
  if not at then return endpoint_of(node, method, allowed) end
  local stop = find(path, "/", at + 1, true)
  local segment = sub(path, at + 1, stop and stop - 1)
  local child = node.literal[segment]
  if child then
    local endpoint, tail = search(child, path, stop, method, allowed, params, depth)
    if endpoint then return endpoint, tail end
  end
  child = node.param
  if child and segment ~= "" then
    local endpoint, tail = search(child, path, stop, method, allowed, params, depth + 1)
    if endpoint then
      params[endpoint.names[depth + 1]] = segment
      return endpoint, tail
    end
  end
  local endpoint = endpoint_of(node.tail, method, allowed)
  return endpoint, endpoint and sub(path, at + 1)
end


local function allow_header(allowed)
  if next(allowed) == nil then return nil end
  allowed.OPTIONS = true
  if allowed.GET then allowed.HEAD = true end
  local names = {}
  for name in pairs(allowed) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end


--- Finds what answers a request.
---@param method string
---@param path string decoded and normalised
---@return web.Endpoint|nil endpoint
---@return table|string|nil params or, without an endpoint, the Allow header (nil: no such path)
---@return string|nil tail what `**` stands for
function router:find(method, path)
  local at, params = find(path, "/", 1, true), {}
  local endpoint, tail = search(self.root, path, at, method, nil, params, 0)
  if endpoint then return endpoint, params, tail end
  local allowed = {} -- looked for only now: most requests are answered
  search(self.root, path, at, method, allowed, params, 0)
  return nil, allow_header(allowed)
end


--- All methods that a path answers, as an Allow header; nil: there is no such path.
---@param path string
function router:allow(path)
  local _, allow = self:find("\0", path)
  return allow
end

return router
