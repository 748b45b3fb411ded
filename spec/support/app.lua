-- The built-in application over the fakes: real routes, middleware and modules, no server.
--   local app = require("spec.support.app").new()
--   local res = app:put("/api/session/x", { args = {} })
local fakes = require "spec.support.fakes"

local App = {}
App.__index = App


-- A template engine of one line: {{ name }} is replaced; "{% bad" does not compile; {{ fail }} fails.
local function template(world)
  local strict = {}
  function strict.compile(_, text)
    world.compiled = (world.compiled or 0) + 1
    if text:find("{%%%s*bad") then
      return nil, { message = "unknown tag 'bad'", line = 2, column = 5, excerpt = "{% bad\n    ^" }
    end
    return function(args)
      world.rendered = (world.rendered or 0) + 1
      local failed
      local out = text:gsub("{{ ([%w_]+) }}", function(name)
        if args[name] == nil then failed = name end
        return tostring(args[name])
      end)
      if failed then
        return nil, { message = ("variable '%s' is not there"):format(failed), line = 1, column = 3 }
      end
      return out .. (world.suffix or "")
    end
  end
  return { strict = function() return strict end }
end


local function crypto()
  return {
    sha256 = function() return ("h"):rep(32) end,
    base64_encode = function() return "aGFzaA==" end,
    base64url_encode = function() return "cmFuZG9t" end,
    random = function(n) return ("r"):rep(n) end,
    password_hash = function(password) return "hash:" .. password end,
    password_verify = function(password, hash) return hash:match ":(.*)$" == password end,
    needs_rehash = function(hash) return hash:match "^old:" ~= nil end,
  }
end


-- Keys are numbered; a PEM is the number and says whether it is private.
local function jwk(world)
  local fake = { made = 0 }
  local function key(number)
    return {
      number = number,
      kid = function() return "kid" .. number end,
      pem = function() return "private " .. number end,
      public_pem = function() return "public " .. number end,
    }
  end
  function fake.generate()
    fake.made = fake.made + 1
    if world.on_generate then world.on_generate() end
    return key("k" .. fake.made)
  end
  function fake.import(member)
    local secret = key(member.kid)
    secret.secret = true
    return secret
  end
  function fake.from_pem(pem)
    local number = pem:match "^%a+ (%w+)$"
    if not number then return nil, "not PEM", "bad_key" end
    return key(number)
  end
  function fake.set(list)
    local kids, known = {}, {}
    for _, k in ipairs(list) do
      if not k.secret then kids[#kids + 1] = k:kid() end
      known[k:kid()] = true
    end
    return { known = known, json = function() return '{"keys":["' .. table.concat(kids, '","') .. '"]}' end }
  end
  return fake
end


local function jwt(world)
  return {
    sign = function(claims, key)
      return ("%s.%s.%s.%d"):format(key:kid(), claims.sub, claims.iss, claims.exp)
    end,
    verify = function(token, set, options)
      local kid, sub, iss, exp = token:match "^(.-)%.(.-)%.(.-)%.(%d+)$"
      if not kid then return nil, "the token is malformed", "malformed" end
      if not set.known[kid] then return nil, "no key has the token's kid", "unknown_key" end
      if tonumber(exp) + options.leeway < world.now then return nil, "the token has expired", "expired" end
      if iss ~= options.issuer then return nil, "the token's iss is another", "wrong_issuer" end
      return { sub = sub, exp = tonumber(exp) }
    end,
  }
end


-- The routes of live pictures; the others have specs on real servers.
local ROUTES = { "auth.lua", "health.lua", "hello.lua", "index.lua", "public.lua", "sessions.lua",
  "streams.lua" }


local function modules_of(folder)
  local names = {}
  local list = assert(io.popen(("ls lua/%s/*.lua"):format(folder)))
  for path in list:lines() do names[#names + 1] = path:match "[^/]+$" end
  list:close()
  return names
end


--- A fresh application in a fresh world.
---@param options? { config?: table }
function App.new(options)
  local files = {}
  for _, folder in ipairs { "topics", "start" } do
    files["lua/" .. folder] = modules_of(folder)
  end
  files["lua/routes"] = ROUTES
  files["templates/demo.svg"] = "<svg>{{ line }} {{ most }}</svg>"
  local modules = {}
  local world = fakes.install { files = files, config = options and options.config, modules = modules }
  world.jwk, world.metrics = jwk(world), {}
  local counter = { inc = function() end }
  local extra = {
    ["web.template"] = template(world),
    ["host.crypto"] = crypto(),
    ["host.jwk"] = world.jwk,
    ["host.jwt"] = jwt(world),
    ["host.metrics"] = {
      text = function() return "up 1\n" end,
      counter = function() return counter end,
      get = function(name) return world.metrics[name] end,
    },
  }
  for name, module in pairs(extra) do package.loaded[name] = module end
  local boot = require "boot"
  return setmetatable({ world = world, boot = boot, store = world.store, hub = world.hub }, App)
end


--- Sends a request; `body` is a table (sent as JSON) or text.
function App:send(method, path, body, headers)
  headers = headers or {}
  local target, query = path:match "^([^?]*)%??(.*)$"
  if type(body) == "table" then
    body = self.world.json.encode(body)
    headers["Content-Type"] = headers["Content-Type"] or "application/json"
  end
  local res, _, traceback = fakes.request(self.boot, method, target,
    { headers = headers, body = body, query = query })
  if res.status == 500 then error(traceback) end
  local ok, decoded = pcall(self.world.json.decode, res.body or "")
  res.json = ok and decoded or nil
  return res
end


for _, method in ipairs { "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS" } do
  App[method:lower()] = function(self, path, body, headers)
    if method == "GET" or method == "HEAD" or method == "OPTIONS" then
      body, headers = nil, body
    end
    return self:send(method, path, body, headers)
  end
end


--- A user's Authorization header.
function App:login(user_id)
  local res = self:post("/api/auth/token", { user_id = user_id, password = "secret of " .. user_id })
  return { Authorization = "Bearer " .. res.json.token }
end

return App
