local write_types = require "cli.types"

return {
  summary = "write the types for lua-language-server anew, after an upgrade",
  usage = "types [--app DIR]",
  examples = { "lunacast types --app shop" },
  run = function(call)
    local folder = call.folder .. "/.lunacast/types"
    call:say("%d files in %s", write_types(folder), folder)
  end,
}
