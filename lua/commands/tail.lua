local feed = require "cli.feed"
local server = require "cli.server"

local WIDTH = 160


local function one_line(text)
  text = text:gsub("%s+", " ")
  return #text > WIDTH and text:sub(1, WIDTH) .. "..." or text
end


return {
  summary = "print what is published on all topics, as it comes",
  usage = "tail [PREFIX] [--count N]",
  about = "Of all topics that are live on the running server, or those that begin with PREFIX.",
  words = { 0, 1 },
  lists = true,
  options = { { "count", "N", help = "end after so many" } },
  examples = { "lunacast tail", "lunacast tail session: --json" },
  run = function(call)
    local path = "/messages?prefix=" .. server.escape(call.words[1] or "")
    return feed(call, path, function(message)
      call:say("%s  %s  %s", os.date("%H:%M:%S", math.floor(message.time)), message.topic,
        one_line(message.data))
    end)
  end,
}
