-- So many requests per user and address, and no more: 429 with Retry-After, and RateLimit-* on
-- every answer. Counted by web.limiter, in the store, over all workers and nodes.
--
-- Who it is: the user of a good token, else the address (IPv6: its /64), which trusted proxies may
-- name (proxy.trusted).
local limiter = require "web.limiter"
local web = require "web"


-- The user of a good token. A wrong one makes nobody: else each made-up token were a new user.
local function user_of(req)
  local token = (req:header "authorization" or ""):match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$"
  if not token then return nil end
  local claims = require("auth.tokens").claims(token)
  return claims and type(claims.sub) == "string" and claims.sub or nil
end


local function seconds(value)
  return ("%d"):format(math.max(1, math.ceil(value)))
end


-- Of several rules the client is told of the one that it meets first.
local function note(req, rule, state)
  local told = req.ratelimit
  if told and told.remaining < state.remaining then return end
  req.ratelimit = state
  req:default_header("RateLimit-Policy", ("%d;w=%d"):format(state.limit, rule.window))
  req:default_header("RateLimit-Limit", ("%d"):format(state.limit))
  req:default_header("RateLimit-Remaining", ("%d"):format(state.remaining))
  req:default_header("RateLimit-Reset", seconds(state.reset))
end


local function refuse(state)
  web.throw(429, "too_many_requests", ("too many requests; try again in %s seconds")
    :format(seconds(state.reset)), { ["Retry-After"] = seconds(state.reset) })
end


local function rules_of(config)
  local rules = {}
  for i, rule in ipairs(config.rules) do
    rules[i] = { path = rule.path, window = rule.window, limiter = limiter.new {
      name = "requests-" .. i, limit = rule.limit, window = rule.window } }
  end
  table.sort(rules, function(a, b) return #a.path > #b.path end)
  local function all(name, limit)
    return { window = config.window,
      limiter = limiter.new { name = name, limit = limit, window = config.window } }
  end
  return rules, all("address", config.limit), all("user", config.user_limit or config.limit)
end


local function setup(plugin, config)
  local skip = {}
  local rules, by_address, by_user = rules_of(config)
  for _, path in ipairs(config.skip) do skip[path] = true end

  local function take(req, rule, key)
    local ok, state = rule.limiter:take(key)
    note(req, rule, state)
    if not ok then refuse(state) end
  end

  plugin:middleware(function(req, next)
    if skip[req.path] then return next(req) end
    local where = req.network
    for _, rule in ipairs(rules) do
      if req.path:sub(1, #rule.path) == rule.path then
        take(req, rule, where)
        break
      end
    end
    local user = config.users and user_of(req)
    take(req, user and by_user or by_address, user or where)
    return next(req)
  end)
end

local COUNT = { type = "integer", min = 1, max = 1000000000 }
local WINDOW = { type = "integer", min = 1, max = 86400, default = 60 }

return {
  name = "ratelimit",
  version = "1.0",
  summary = "so many requests per user and address",
  config = {
    limit = { type = "integer", min = 1, max = 1000000000, default = 600 },
    window = WINDOW,
    users = { type = "boolean", default = true },
    user_limit = { type = "integer", min = 1, max = 1000000000, optional = true },
    skip = { type = "array", items = { type = "string" }, max = 100,
      default = { "/health", "/ready", "/metrics" } },
    rules = {
      type = "array", max = 50, default = {},
      items = { fields = { path = { type = "string", pattern = "/.*" }, limit = COUNT,
        window = WINDOW } },
    },
  },
  setup = setup,
}
