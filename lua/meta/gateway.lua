---@meta host.gateway

---Plans of proxies and the servers behind them; scripts use web.proxy.
---@class host.gateway
local gateway = {}

---@param options table web.ProxyOptions and `upstream`
---@return userdata plan
function gateway.plan(options) end

---@class host.gateway.Peer
---@field url string
---@field state "up"|"out"|"trial"|"down" out: after failures; down: by an active check
---@field running integer requests
---@field requests integer
---@field failures integer
---@field out_for number seconds

---What this process knows of all servers behind its proxies.
---@return { name: string, peers: host.gateway.Peer[] }[]
function gateway.upstreams() end

---What an active check of the i-th server found.
---@param plan userdata
---@param i integer
---@param good boolean
function gateway.check(plan, i, good) end

---Nobody checks the servers any more.
---@param plan userdata
function gateway.uncheck(plan) end

return gateway
