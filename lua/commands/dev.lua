-- Done by src/main.c: run, with the setting dev on, one worker and a log for people.
return {
  summary = "serve it while you write it: pages reload, errors show their source",
  usage = "dev [DIR] [options]",
  about = [[
Browser pages reload when a route, template or file is saved; an error is an overlay with its
source, and http://127.0.0.1:3000/_dev lists what the application has. One that does not start shows
why, and starts when it is fixed. Not for production.]],
  native = true,
  options = require("commands.run").options,
  examples = { "lunacast dev", "lunacast dev shop --listen :8080" },
}
