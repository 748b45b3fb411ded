-- Every case of the language, with the answer that Tera 1.x gives. None differs: the differences
-- from Tera are in template_answers_spec.lua, each with its reason.
local json = require "host.json"
local template = require "web.template"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local data = assert(json.decode(file:read "a"))
  file:close()
  return data
end

describe("a template renders as Tera does:", function()
  for _, case in ipairs(read "spec/web/tera-cases.json") do
    it(case.name, function()
      local env = template.environment {
        source = case.templates or { [case.entry] = case.template },
      }
      local text, err = env:render(case.entry, case.context)
      if case.error then
        assert.is_nil(text)
        assert.is_string(err.message)
      else
        assert.is_nil(err and tostring(err))
        assert.equal(case.expect, text)
      end
    end)
  end
end)
