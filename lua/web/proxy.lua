-- A request passed on to other servers: `return web.proxy("http://localhost:9000", { strip = 1 })`.
-- All bytes go through C as they come (src/http/proxy.c); here options become a plan, once.
local gateway = require "host.gateway"

local PLANS_MAX = 1024

---@class web.ProxyOptions
---@field strip? integer segments taken off the front of the path
---@field headers? table<string, string|false> request headers to set; false drops the client's
---@field trust? string[] names that a client may send though they are ours to set: "x-user-id"
---@field untrusted? "drop"|"refuse" what happens to the others: X-User-*, X-Tenant-*, names with _
---@field keep_host? boolean the client's Host goes on, instead of the upstream's name
---@field timeout? number seconds until the answer begins, 30
---@field connect_timeout? number 10
---@field idle_timeout? number silence in the middle of an answer or tunnel, 300
---@field body_limit? integer bytes of a request body; none when absent
---@field allow_private? boolean private addresses may be the target; true when absent: give false
--- where the upstream comes from user input
---@field insecure? boolean the upstream's certificate is not checked
---@field balance? "turn"|"least" of several servers
---@field fails? integer so many failures within fail_time put a server out, 3; 0: never
---@field fail_time? number 10
---@field out_time? number 10, doubled while its trials fail, up to 8 times

local proxy = {}

-- options (by identity) -> upstream -> plan; plans without options under the module itself.
local plans = setmetatable({}, { __mode = "k" })
local count = 0


---@param upstream string|string[]
---@param options? web.ProxyOptions
function proxy.plan(upstream, options)
  local all = {}
  for name, value in pairs(options or {}) do all[name] = value end
  all.upstream = upstream
  return gateway.plan(all)
end


-- Plans of one upstream's URL are kept: a route's options are mostly one table, made once.
local function plan_of(upstream, options)
  local key = options or proxy
  local known = plans[key]
  local plan = known and known[upstream]
  if plan then return plan end
  plan = proxy.plan(upstream, options)
  if count >= PLANS_MAX then plans, count, known = setmetatable({}, { __mode = "k" }), 0, nil end
  if not known then
    known = {}
    plans[key] = known
  end
  known[upstream] = plan
  count = count + 1
  return plan
end


--- The answer of a plan. `headers` join whatever the client is answered; `request_headers` are set
--- for the upstream, of this request alone.
function proxy.answer(plan, headers, request_headers)
  return { status = 200, proxy = plan, headers = headers, request_headers = request_headers }
end


--- Passes the request on and its answer back: streams, events and WebSockets too. Keep the options
--- in one table outside of the handler, and they are read once.
---@param upstream string|string[] http(s)://host[:port][/base] or unix:/path.sock
---@param options? web.ProxyOptions
---@return web.Response
function proxy.proxy(upstream, options)
  return proxy.answer(plan_of(upstream, options))
end

return proxy
