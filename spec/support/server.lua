-- The servers of our own specs: the build that is being tested.
local server = require "host.test.server"

server.BINARY = os.getenv "SPEC_BIN" or "build-asan/lunacast"

return server
