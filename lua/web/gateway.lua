-- Routes from configuration, without code. Section `gateway` of config.lua, a list:
--
--   gateway = {
--     { prefix = "/api/aura", upstream = env "AURA_PLATFORM_URI" or "http://localhost:9000",
--       strip = 1, identity = true },
--     { prefix = "/shop", upstream = { "http://10.0.0.1", "http://10.0.0.2" }, balance = "least",
--       check = { path = "/health", every = 5 } },
--   }
--
-- Each entry answers its prefix and everything below it with web.proxy; the other fields are its
-- options. Routes of files beat them where they say more of the path. A reload takes changes over;
-- what runs goes on.
local nearest = require "cli.nearest"
local proxy = require "web.proxy"

local METHODS = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" }

---@class web.GatewayEntry: web.ProxyOptions
---@field prefix string "/api/aura"; "/" is everything
---@field upstream string|string[]
---@field identity? boolean only with a good token (middleware `identity`); the upstream gets
--- X-User-ID and X-Tenant-ID from it
---@field middleware? string[] names of files in lua/middleware/
---@field response_headers? table<string, string> of each answer
---@field check? web.GatewayCheck

---@class web.GatewayCheck each server is asked in turn; one that does not answer well gets nothing
---@field path string
---@field every? number seconds, 5
---@field timeout? number 2
---@field status? integer what a well one answers; any from 200 to 399 when absent

local OWN = { "prefix", "upstream", "identity", "middleware", "response_headers", "check" }
local OPTIONS = {
  "strip", "headers", "trust", "untrusted", "keep_host", "timeout", "connect_timeout",
  "idle_timeout", "body_limit", "allow_private", "insecure", "balance", "fails", "fail_time",
  "out_time",
}
local CHECK = { "path", "every", "timeout", "status" }

local gateway = {}


local function fail(i, text, ...)
  error(("config.lua: gateway[%d] "):format(i) .. text:format(...), 0)
end


local function set_of(...)
  local set, list = {}, {}
  for _, names in ipairs { ... } do
    for _, name in ipairs(names) do
      set[name] = true
      list[#list + 1] = name
    end
  end
  return set, list
end

local KNOWN, NAMES = set_of(OWN, OPTIONS)
local KNOWN_CHECK, CHECK_NAMES = set_of(CHECK)


local function known_fields(i, t, known, names, where)
  for name in pairs(t) do
    if not known[name] then
      local near = type(name) == "string" and nearest(name, names)
      fail(i, "has an unknown field %s%s%s", where, tostring(name),
        near and ("; did you mean %s?"):format(near) or "")
    end
  end
end


local function check_entry(i, entry)
  if type(entry) ~= "table" then fail(i, "must be a table, it is a %s", type(entry)) end
  known_fields(i, entry, KNOWN, NAMES, "")
  if type(entry.prefix) ~= "string" or not entry.prefix:find "^/[%w%-._~/]*$" then
    fail(i, "needs a prefix such as \"/api\"")
  end
  if entry.upstream == nil then fail(i, "needs an upstream such as \"http://localhost:9000\"") end
  local check = entry.check
  if check == nil then return end
  if type(check) ~= "table" or type(check.path) ~= "string" or check.path:sub(1, 1) ~= "/" then
    fail(i, "needs a check with a path, such as { path = \"/health\" }")
  end
  known_fields(i, check, KNOWN_CHECK, CHECK_NAMES, "check.")
end


local function plan_of(i, entry)
  local options = {}
  for _, name in ipairs(OPTIONS) do options[name] = entry[name] end
  local ok, plan = pcall(proxy.plan, entry.upstream, options)
  if not ok then fail(i, "is wrong: %s", tostring(plan):gsub("^.-:%d+: ", "")) end
  return plan
end


-- What the middleware `identity` has verified, for the upstream: names, without control characters.
local function identity_headers(req)
  return { ["X-User-ID"] = req.claims.sub, ["X-Tenant-ID"] = req.claims.tenant_id }
end


local function copy(headers)
  local all = {}
  for name, value in pairs(headers) do all[name] = value end
  return all
end


local function handler_of(plan, entry)
  local headers, identity = entry.response_headers, entry.identity
  return function(req)
    return proxy.answer(plan, headers and copy(headers), identity and identity_headers(req) or nil)
  end
end


local function middleware_of(entry)
  local list = { table.unpack(entry.middleware or {}) }
  if entry.identity then table.insert(list, 1, "identity") end
  return list
end


--- The routes of a section, two for each entry: the prefix, and what is below it.
---@param section web.GatewayEntry[]|nil
---@return web.Route[] routes
---@return { plan: userdata, entry: web.GatewayEntry }[] plans
function gateway.routes(section)
  local routes, plans = {}, {}
  for i, entry in ipairs(section or {}) do
    check_entry(i, entry)
    local plan = plan_of(i, entry)
    plans[i] = { plan = plan, entry = entry }
    local base = entry.prefix:gsub("/+$", "")
    for _, path in ipairs { base .. "/**", base ~= "" and base or nil } do
      local route = { path = path, middleware = middleware_of(entry) }
      for _, method in ipairs(METHODS) do route[method] = handler_of(plan, entry) end
      routes[#routes + 1] = route
    end
  end
  return routes, plans
end

return gateway
