local server = require "cli.server"
local trouble = require "cli.trouble"
local units = require "cli.units"

-- Those that the new scripts may need: the server applies them at its next start only. When the
-- database can't be asked, that is for `lunacast migrate --status` to say.
local function waiting_migrations()
  local answer, status = server.try("GET", "/migrations", { timeout = 30 })
  return status == 200 and answer.items or {}
end


local function done(call, answer)
  local waiting = waiting_migrations()
  if call.json then
    answer.migrations = waiting[1] and waiting
    call:record(answer)
    return 0
  end
  call:say("generation %d serves", answer.generation)
  for _, m in ipairs(waiting) do
    call:note("migration %s of %s is %s; see `lunacast migrate --status`", m.name, m.source,
      m.state)
  end
  return 0
end


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
    if status == 200 then return done(call, answer) end
    if call.json then
      call:record(answer)
      return 1
    end
    if not answer.since then call:fail("%s", answer.error) end
    call:fail("%s\nthe old scripts serve on (generation %d, since %s); correct the file, and it "
      .. "goes live", trouble(answer), answer.generation, units.moment(answer.since))
  end,
}
