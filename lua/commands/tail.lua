local feed = require "cli.feed"
local server = require "cli.server"

local WIDTH = 160


local function one_line(text)
  text = text:gsub("%s+", " ")
  return #text > WIDTH and text:sub(1, WIDTH) .. "..." or text
end


return {
  summary = "print what is published on all topics, as it comes",
  usage = "tail [PREFIX] [--count N] [--once]",
  about = [[
Of all topics that are live on the running server, or those that begin with PREFIX. When the server
is restarted it goes on with the next one. Ends with Ctrl-C.]],
  words = { 0, 1 },
  lists = true,
  options = { { "count", "N", help = "end after so many" }, feed.option },
  examples = { "lunacast tail", "lunacast tail session: --json" },
  run = function(call)
    local path = "/messages?prefix=" .. server.escape(call.words[1] or "")
    return feed.run(call, path, function(message)
      call:say("%s  %s  %s", os.date("%H:%M:%S", math.floor(message.time)), message.topic,
        one_line(message.data))
    end)
  end,
}
