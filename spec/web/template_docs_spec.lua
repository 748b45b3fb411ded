-- docs/templates.md: every example gives what the document says, and every filter, test and
-- function has an example.
local json = require "host.json"
local template = require "web.template"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local document = read "docs/templates.md"

-- Fenced blocks in order: { info, body }.
local function blocks()
  local list = {}
  for info, body in document:gmatch "\n```([^\n]*)\n(.-)\n```" do
    list[#list + 1] = { info = info, body = body }
  end
  return list
end

-- { template, expected, suffix, files } of every example.
local function examples(list)
  local found, files = {}, {}
  for i, block in ipairs(list) do
    local extra = block.info:match "^tera (%S+)$"
    if extra and extra ~= "svg" then
      files[extra] = block.body
    elseif block.info:find "^tera" then
      local entry = extra == "svg" and "example.svg" or "example.txt"
      if block.body:find("→", 1, true) then
        for line in block.body:gmatch "[^\n]+" do
          local text, expected = line:match "^(.-)%s*→ (.*)$"
          found[#found + 1] = { text = text, expected = expected, entry = entry, files = files }
        end
      else
        found[#found + 1] = { text = block.body, expected = list[i + 1].body, entry = entry,
          files = files }
      end
    end
  end
  return found
end

local all = blocks()
local context = assert(json.decode(all[1].body))

describe("the templates document", function()
  for _, example in ipairs(examples(all)) do
    it("is right about " .. example.text, function()
      local source = { [example.entry] = example.text }
      for name, text in pairs(example.files) do source[name] = text end
      local env = template.environment { source = source }
      local text, err = env:render(example.entry, context)
      local wanted = example.expected:match "^error: (.*)$"
      if wanted then
        assert.is_nil(text)
        assert.truthy(err.message:find(wanted, 1, true), err.message)
      else
        assert.is_nil(err and tostring(err))
        assert.equal(example.expected, text)
      end
    end)
  end

  local shown = {}
  for _, example in ipairs(examples(all)) do
    for name in example.text:gmatch "|%s*([%w_]+)" do shown["filter " .. name] = true end
    for name in example.text:gmatch "{%%%s*filter ([%w_]+)" do shown["filter " .. name] = true end
    for name in example.text:gmatch "is ([%w_]+)" do shown["test " .. name] = true end
    for name in example.text:gmatch "([%w_]+)%(" do shown["function " .. name] = true end
  end

  for _, sort in ipairs { "filter", "test", "function" } do
    for name in pairs(require("web.template." .. sort .. "s")) do
      it(("has an example of the %s %s"):format(sort, name), function()
        assert.is_true(shown[sort .. " " .. name])
      end)
    end
  end

  for _, name in ipairs { "fixed", "si", "bytes", "duration", "ago", "clamp", "scale", "color",
    "path", "text_width" } do
    it("has an example of the filter " .. name, function()
      assert.is_true(shown["filter " .. name])
    end)
  end
end)
