local migrations = require "web.migrations"

local function show(call)
  local list, message = migrations.status()
  if not list then call:fail("%s", message) end
  call:list(list, { "source", "name", "state", "applied_at" }, "no migrations")
  return #migrations.unsettled(list) > 0 and 1 or 0
end


return {
  summary = "bring the database to where the application expects it",
  usage = "migrate [DIR] [--status] [--json]",
  about = [[
Applies the migrations that are pending: the framework's, those of plugins, and migrations/*.sql of
the application, each in a transaction. A server does the same when it starts.]],
  lists = true,
  options = { { "status", help = "only tell which are applied; exit code 1 when some are not" } },
  examples = { "lunacast migrate", "lunacast migrate shop --status" },
  run = function(call)
    if call.options.status then return show(call) end
    local applied, message = migrations.run(function(m)
      if not call.json then call:say("applied %s of %s", m.name, m.source) end
    end)
    if not applied then call:fail("%s", message) end
    if call.json then
      local names = {}
      for i, m in ipairs(applied) do names[i] = { source = m.source, name = m.name } end
      call:list(names, { "source", "name" })
      return 0
    end
    if #applied == 0 then call:say("nothing to apply") end
    return 0
  end,
}
