local feed = require "cli.feed"
local server = require "cli.server"

return {
  summary = "print what is published on a topic, as it comes",
  usage = "sub TOPIC [--mode log|latest] [--count N] [--once]",
  about = [[
Of a topic with a newest value that value comes first. When the server is restarted it goes on with
the next one: where the topic keeps a history, after the last message it had. Ends with Ctrl-C.]],
  words = { 1 },
  lists = true,
  options = {
    { "mode", "MODE", help = "log: messages only; latest: values only" },
    { "count", "N", help = "end after so many" },
    feed.option,
  },
  examples = { "lunacast sub chat:lobby", "lunacast sub session:lamp --count 1 > lamp.svg" },
  run = function(call)
    local path = "/messages?topic=" .. server.escape(call.words[1])
    if call.options.mode then path = path .. "&mode=" .. server.escape(call.options.mode) end
    return feed.run(call, path, function(message) call:say("%s", message.data) end, true)
  end,
}
