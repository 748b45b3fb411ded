local server = require "cli.server"

return {
  summary = "the servers behind the proxies of the running server, and their health",
  usage = "upstreams [DIR] [--json]",
  lists = true,
  options = {},
  examples = { "lunacast upstreams", "lunacast upstreams --json" },
  run = function(call)
    local answer = server.ask("GET", "/upstreams")
    call:list(answer.items, { "url", "state", "running", "requests", "failures", "out_for" },
      "no upstreams")
  end,
}
