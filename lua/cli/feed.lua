-- Messages of the running server, printed as they come: what `sub` and `tail` share. When the
-- server goes, they wait for its successor; with a position they go on after the last message.
local errors = require "cli.errors"
local json = require "host.json"
local server = require "cli.server"
local time = require "host.time"

local PAUSE, LONGEST = 0.2, 5 -- seconds between attempts, twice as long each time


local function count_of(call)
  local given = call.options.count
  local count = math.tointeger(tonumber(given or math.maxinteger))
  if not count or count < 1 then call:usage("--count wants a number from 1, got %q", given) end
  return count
end


local function note_loss(call, message)
  if message.lost then
    call:note("lunacast: messages are missing here, %d at least", message.lost)
  end
end


local function show_one(call, message, show)
  if message.failure then call:fail("%s: %s", message.topic, message.failure) end
  note_loss(call, message)
  if call.json then
    call.out:write(json.encode(message), "\n")
  else
    show(message)
  end
  return errors.flush(call.out)
end


local function wait_for(path)
  local pause = PAUSE
  while true do
    time.sleep(pause)
    local feed = server.try_events(path)
    if feed then return feed end
    pause = math.min(pause * 2, LONGEST)
  end
end


local function come_back(call, path, position)
  if call.options.once then call:fail "the server has ended the stream" end
  call:note "lunacast: the server has ended the stream; waiting until it is back (Ctrl-C ends)"
  local feed = wait_for(position and path .. "&since=" .. server.escape(position) or path)
  call:note("lunacast: it is back%s",
    position and "" or "; what was published meanwhile was not seen")
  return feed
end


--- The option of a command that is one of these.
local feed = { option = { "once", help = "end with exit code 1 when the server ends" } }


---@param call cli.Call
---@param path string of the control socket, with a query
---@param show fun(message: table) prints one for people
---@param resumes? boolean the path is of one topic: it takes a position
---@return integer code
function feed.run(call, path, show, resumes)
  local left, events, position = count_of(call), server.events(path), nil
  while true do
    for event in events do
      local message = json.decode(event.data)
      position = resumes and message.position or position
      left = left - 1
      if not show_one(call, message, show) or left <= 0 then return 0 end
    end
    events = come_back(call, path, position)
  end
end

return feed
