local server = require "cli.server"
local trouble = require "cli.trouble"
local units = require "cli.units"

return {
  summary = "load scripts, templates and settings anew; says what is wrong with them",
  usage = "reload [DIR] [--json]",
  about = [[
Waits until all workers serve the new scripts. When they are wrong, nothing has changed: the old
ones serve on. The same happens by itself when a file is saved (setting watch), and by SIGHUP.]],
  lists = true,
  examples = { "lunacast reload", "lunacast reload shop --json" },
  run = function(call)
    local answer, status = server.try("POST", "/reload", { timeout = 120 })
    if call.json then
      call:record(answer)
      return status == 200 and 0 or 1
    end
    if status == 200 then
      call:say("generation %d serves", answer.generation)
      return 0
    end
    if not answer.since then call:fail("%s", answer.error) end
    call:fail("%s\nthe old scripts serve on (generation %d, since %s); correct the file, and it "
      .. "goes live", trouble(answer), answer.generation, units.moment(answer.since))
  end,
}
