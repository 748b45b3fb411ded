-- Done by src/main.c; here for its help.
return {
  summary = "run a Lua file as a task, with every module",
  usage = "lua FILE [args]",
  native = true,
  examples = { "lunacast lua script.lua first second" },
}
