-- Routes that describe themselves: what is checked, and what /openapi.json says.
local json = require "host.json"
local server = require "spec.support.server"

local ROUTE = [[
local web = require "web"

local THING = { fields = { id = { type = "integer" }, name = { type = "string", max = 10 } } }

return {
  path = "/things/{id}",
  describe = {
    PUT = {
      summary = "Change a thing", tags = { "things" },
      params = { fields = { id = { type = "integer", min = 1 } } },
      query = { fields = { loud = { type = "boolean", default = false } } },
      body = { fields = { name = { type = "string", max = 10 } } },
      answers = { [200] = THING, [404] = "there is no such thing" },
    },
  },
  PUT = function(req)
    local valid = req.valid
    return web.json { id = valid.params.id, name = valid.body.name, loud = valid.query.loud }
  end,
  GET = function(req) return web.json { raw = req.params.id, valid = req.valid ~= nil } end,
}
]]


describe("a described route", function()
  local app

  setup(function()
    app = server.start { files = { ["lua/routes/things.lua"] = ROUTE }, workers = 1 }
  end)
  teardown(function() app:stop() end)

  it("gets what was sent as what it stands for", function()
    local res = app:put("/things/7?loud=true", { json = { name = "a" } })
    assert.same({ id = 7, name = "a", loud = true }, json.decode(res.body))
  end)

  it("answers 400 with every wrong field of path, query and body", function()
    local res = app:put("/things/0?loud=maybe&more=1", { json = { name = ("x"):rep(11) } })
    assert.equal(400, res.status)
    local body = json.decode(res.body)
    assert.equal("invalid", body.code)
    assert.equal('"id" must be at least 1, got 0 (and 3 more, see errors)', body.error)
    local found = {}
    for i, e in ipairs(body.errors) do found[i] = e["in"] .. " " .. e.field end
    assert.same({ "path id", "query loud", "query more", "body name" }, found)
  end)

  it("leaves methods without a description alone", function()
    assert.same({ raw = "x", valid = false }, json.decode(app:get("/things/x").body))
  end)

  it("is in /openapi.json, with its schemas and the errors that it can answer", function()
    local document = json.decode(app:get("/openapi.json").body)
    assert.equal("3.1.0", document.openapi)
    local put = document.paths["/things/{id}"].put
    assert.equal("Change a thing", put.summary)
    assert.same({
      { name = "id", ["in"] = "path", required = true, schema = { type = "integer",
        minimum = 1, maximum = math.maxinteger } },
      { name = "loud", ["in"] = "query", schema = { type = "boolean", default = false } },
    }, put.parameters)
    assert.same({ type = "object", required = { "name" }, additionalProperties = false,
      properties = { name = { type = "string", maxLength = 10 } } },
      put.requestBody.content["application/json"].schema)
    assert.equal("there is no such thing", put.responses["404"].description)
    assert.is_table(put.responses["401"].content)
    assert.is_table(put.responses.default)
    assert.is_nil(document.paths["/things/{id}"].get)
    local reject = document.paths["/aura/hitl/reject/{requestId}"].post
    assert.equal("requestId", reject.parameters[1].name)
    assert.is_nil(reject.responses["400"].content)
  end)

  it("with a wrong description is refused at load, with its file", function()
    local wrong = ROUTE:gsub('max = 10 } } },\n      answers', 'most = 10 } } },\n      answers')
    local broken = server.launch { files = { ["lua/routes/things.lua"] = wrong } }
    assert.is_true(broken.process:wait() ~= 0)
    assert.matches('lua/routes/things.lua: .-PUT /things/{id} body.name: has no key "most"',
      broken.process.err)
  end)
end)
