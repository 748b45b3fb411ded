local server = require "cli.server"

return {
  summary = "the topics that are live on the running server",
  usage = "topics [DIR] [--prefix TEXT] [--json]",
  lists = true,
  options = { { "prefix", "TEXT", help = "only those whose names begin so" } },
  examples = { "lunacast topics", "lunacast topics --prefix session:" },
  run = function(call)
    local prefix = call.options.prefix
    local answer = server.ask("GET", "/topics" .. (prefix and "?prefix=" .. server.escape(prefix)
      or ""))
    call:list(answer.items, { "topic", "subscribers", "bytes", "version" }, "no topics")
  end,
}
