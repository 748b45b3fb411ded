-- Scripts that do their worst: as routes, and what one costs the server.
local http = require "spec.support.http"

local nasty = {}


--- A route file of handlers: { name = body }, at /PREFIX/name; what returns nothing returns nil.
---@param prefix string
---@param cases table<string, string>
---@param before string|nil what all of them see
---@return string
function nasty.routes(prefix, cases, before)
  local parts = {}
  for name, body in pairs(cases) do
    if not body:find "return [^\n]*$" then body = body .. " return nil" end
    parts[#parts + 1] = ("{ path = '/%s/%s', GET = function(req) local _ = req\n%s\nend }"):format(prefix, name, body)
  end
  return (before or "") .. "return {" .. table.concat(parts, ",\n") .. "}"
end


-- Of all the server's threads, in ms (the kernel counts in hundredths of a second).
local function cpu_time(pid)
  local file <close> = assert(io.open(("/proc/%d/stat"):format(pid)))
  local user, system = file:read("a"):match("%) %a" .. (" %-?%d+"):rep(10) .. " (%d+) (%d+)")
  return (user + system) * 10
end


--- Asks for it, and then so often for something else that what is left is collected.
---@param app host.test.Server
---@param path string
---@return integer status
---@return number ms of CPU time, which a busy machine does not lengthen much
function nasty.cost(app, path)
  local before = cpu_time(app.process.pid)
  local c = app:connect()
  c:send(http.format("GET", path))
  local res = http.read_response(c, "GET", 60)
  c:close()
  for _ = 1, 20 do app:get "/health" end
  return res.status, cpu_time(app.process.pid) - before
end


--- What is wrong with the answers to all cases: each should be a 500 at a bounded cost.
---@param app host.test.Server
---@param prefix string
---@param cases table<string, string>
---@param most number ms
---@return string[]
function nasty.ask_all(app, prefix, cases, most)
  local wrong = {}
  for name in pairs(cases) do
    local status, cost = nasty.cost(app, ("/%s/%s"):format(prefix, name))
    if status ~= 500 or cost > most then wrong[#wrong + 1] = ("%s: %d, %.0f ms"):format(name, status, cost) end
  end
  return wrong
end

return nasty
