local fakes = require "spec.support.fakes"


describe("web.with", function()
  it("leaves a table of headers alone that a handler shares between answers", function()
    fakes.install {}
    local web = require "web"
    local shared = { ["Cache-Control"] = "no-store" }
    local res = web.with({ status = 200, headers = shared }, { ["X-A"] = "1" })
    assert.same({ ["Cache-Control"] = "no-store", ["X-A"] = "1" }, res.headers)
    assert.same({ ["Cache-Control"] = "no-store" }, shared)
  end)
end)
