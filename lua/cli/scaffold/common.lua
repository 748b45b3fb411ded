-- What every new application has.
return {
  [".gitignore"] = "data/\n.lunacast/\n",
  [".luarc.json"] = [[
{
  "runtime.version": "Lua 5.4",
  "runtime.path": ["lua/?.lua", "lua/?/init.lua"],
  "workspace.library": [".lunacast/types"],
  "workspace.ignoreDir": ["data", ".lunacast"],
  "diagnostics.globals": ["describe", "it", "before_each", "after_each", "setup", "teardown"]
}
]],
}
