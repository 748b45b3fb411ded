-- Done by src/main.c; here for its help.
return {
  summary = "print each setting, its value and where it comes from",
  usage = "config [DIR] [options]",
  native = true,
  options = {
    { "markdown", help = "a table of all settings" },
    { "json", help = "value and source of each, by key" },
    { "set", "KEY=VALUE", help = "any setting, again for more" },
  },
  examples = { "lunacast config shop", "lunacast config --json | jq .max_fps" },
}
