local server = require "cli.server"


local function publish(call, data)
  return server.ask("POST", "/publish",
    { json = { topic = call.words[1], data = data, mode = call.options.mode } })
end


return {
  summary = "publish on a topic; the data from the command line or stdin",
  usage = "pub TOPIC [DATA] [--mode log|latest] [--lines]",
  words = { 1, 2 },
  lists = true,
  options = {
    { "mode", "MODE", help = "log: a message; latest: a value (default: the topic's rule)" },
    { "lines", help = "each line of stdin is one" },
  },
  examples = {
    "lunacast pub chat:lobby hello --mode log",
    "lunacast pub lamp < lamp.svg",
    "tail -f access.log | lunacast pub log --mode log --lines",
  },
  run = function(call)
    local answer
    if call.options.lines then
      for line in io.stdin:lines() do answer = publish(call, line) end
    else
      answer = publish(call, call.words[2] or io.stdin:read "a")
    end
    if call.json then call:record(answer or {}) end
  end,
}
