-- The servers of our own specs: the build that is being tested.
local server = require "host.test.server"

server.BINARY = os.getenv "SPEC_BIN" or "build-asan/lunacast"

-- The thread sanitizer makes scripts many times slower; what they may use is not what it looks for.
local SLOW = { LUNACAST_LUA_TIME_MS = "2000" }


if server.BINARY:find "tsan" then
  local launch = server.launch
  function server.launch(options)
    local slow = { env = {} }
    for name, value in pairs(options or {}) do slow[name] = value end
    local env = slow.env
    slow.env = {}
    for _, values in ipairs { SLOW, env } do
      for name, value in pairs(values) do slow.env[name] = value end
    end
    return launch(slow)
  end
end

return server
