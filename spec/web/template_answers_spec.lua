-- What Tera 1.20 answered to some three thousand small templates (spec/web/tera-answers.json, taken
-- from the crate itself), beside what this engine answers. Where they differ, the file says why; a
-- difference that is not named there fails.
local json = require "host.json"
local template = require "web.template"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local data = assert(json.decode(file:read "a"))
  file:close()
  return data
end

local answers = read "spec/web/tera-answers.json"

local function render(case)
  local env = template.environment {
    source = case.templates or { [case.entry] = case.template },
  }
  return env:render(case.entry, answers.context)
end

local function name_of(case)
  return case.template or json.encode(case.templates, { sort = true })
end

describe("Tera's answer", function()
  it("is this engine's, but for the differences below", function()
    local wrong, same = {}, 0
    for _, case in ipairs(answers.cases) do
      if not case.why then
        local text, err = render(case)
        if text == case.tera then
          same = same + 1
        else
          wrong[#wrong + 1] = ("%s: %s"):format(name_of(case), text or tostring(err))
        end
      end
    end
    assert.same({}, { table.unpack(wrong, 1, 5) })
    assert.is_true(same > 2900)
  end)

  for _, case in ipairs(answers.cases) do
    if case.why then
      it(("differs for %s in %s: %s"):format(name_of(case), case.entry, case.why), function()
        local text = render(case)
        assert.equal(case.here, text)
        assert.not_equal(case.tera, text)
      end)
    end
  end
end)
