-- Done by lua/cli/init.lua; here for the list.
return {
  summary = "help, of all or of one command",
  usage = "help [COMMAND]",
  native = true,
  examples = { "lunacast help run", "lunacast token issue --help" },
}
