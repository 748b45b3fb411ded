local server = require "cli.server"

return {
  summary = "the sessions of the running server, the most watched first",
  usage = "sessions [DIR] [--user USER] [--limit N] [--json]",
  lists = true,
  options = {
    { "user", "USER", help = "only this user's" },
    { "limit", "N", help = "at most so many (default: 1000)" },
  },
  examples = { "lunacast sessions", "lunacast sessions shop --user ada --json" },
  run = function(call)
    local query = "?limit=" .. server.escape(call.options.limit or "1000")
    if call.options.user then query = query .. "&user=" .. server.escape(call.options.user) end
    local answer = server.ask("GET", "/sessions" .. query)
    call:list(answer.items, { "session_id", "user", "viewers", "version" }, "no sessions")
  end,
}
