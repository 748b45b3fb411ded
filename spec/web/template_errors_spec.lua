-- What an error says, word for word: spec/web/template_errors/NAME.tera gives NAME.error. To write
-- the answers anew after a change that is meant: WRITE_ERRORS=yes, then read the difference.
local template = require "web.template"

local FOLDER <const> = "spec/web/template_errors/"

local context = {
  name = "Ann", count = 3, ready = true, items = { "a", "b", "c" },
  user = { first = "Ann", last = "Lee" },
}

local others = { part = "line one\n{{ nowhere }}\n", base = "{% block a %}{% endblock %}" }

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

local function names()
  local list = {}
  local folder = assert(io.popen("ls " .. FOLDER))
  for line in folder:lines() do list[#list + 1] = line:match "^(.*)%.tera$" end
  folder:close()
  return list
end

describe("an error of a template", function()
  for _, name in ipairs(names()) do
    it("names the place: " .. name, function()
      local source = { [name] = assert(read(FOLDER .. name .. ".tera")) }
      for other, text in pairs(others) do source[other] = text end
      local text, err = template.environment { source = source }:render(name, context)
      assert.is_nil(text)
      if os.getenv "WRITE_ERRORS" then
        local file = assert(io.open(FOLDER .. name .. ".error", "wb"))
        file:write(tostring(err), "\n")
        file:close()
      end
      assert.equal(read(FOLDER .. name .. ".error"), tostring(err) .. "\n")
    end)
  end

  it("has its parts", function()
    local _, err = template.environment():compile("a\n  {{ x | nope }}", "t")("x" and { x = 1 })
    assert.equal("t", err.name)
    assert.equal(2, err.line)
    assert.equal(10, err.column)
    assert.equal("unknown filter 'nope'", err.message)
    assert.truthy(err.excerpt:find("2 |   {{ x | nope }}", 1, true))
  end)

  it("of a user's filter has what was raised, and where", function()
    local env = template.environment {
      filters = { broken = function() error "no ink" end, empty = function() end },
    }
    local _, err = env:compile "\n{{ 1 | broken }}"()
    assert.truthy(err.message:find("filter 'broken': ", 1, true))
    assert.truthy(err.message:find "template_errors_spec.lua:%d+: no ink")
    assert.equal(2, err.line)
    _, err = env:compile "{{ 1 | empty }}"()
    assert.equal("filter 'empty': it returned nothing", err.message)
  end)
end)
