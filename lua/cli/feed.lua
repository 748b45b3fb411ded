-- Messages of the running server, printed as they come: what `sub` and `tail` share.
local errors = require "cli.errors"
local json = require "host.json"
local server = require "cli.server"


---@param call cli.Call
---@param path string of the control socket
---@param show fun(message: table) prints one for people
---@return integer code
return function(call, path, show)
  local left = tonumber(call.options.count) or math.huge
  for event in server.events(path) do
    local message = json.decode(event.data)
    if message.failure then call:fail("%s: %s", message.topic, message.failure) end
    if message.lost then call:note("%d messages were lost: too slow", message.lost) end
    if call.json then
      call.out:write(json.encode(message), "\n")
    else
      show(message)
    end
    left = left - 1
    if not errors.flush(call.out) or left <= 0 then return 0 end
  end
  call:fail "the server has ended the stream"
end
