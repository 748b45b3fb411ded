-- POST /reload: new scripts, and what is wrong with them when they are.
local control = require "host.control"
local source = require "web.source"
local web = require "web"


return {
  path = "/reload",
  POST = function()
    local generation, message, code = control.reload()
    if generation then return web.json { generation = generation } end
    if code ~= "refused" then web.throw(503, code, message) end
    local place = source.explain(message)
    return web.json(422, {
      error = place.message, code = "refused", file = place.file, line = place.line,
      excerpt = place.excerpt, trace = place.trace, generation = control.state().generation,
      since = control.state().since,
    })
  end,
}
