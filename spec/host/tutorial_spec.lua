-- docs/tutorial.md, followed from an empty folder: its files are written, its commands run in a
-- shell as they stand there, and print what it says.
local documents = require "spec.support.documents"
local follow = require "spec.support.follow"
local http = require "spec.support.http"
local redis = require "spec.support.redis"

local TUTORIAL = documents.read "docs/tutorial.md"

describe("docs/tutorial.md", function()
  for _, kind in ipairs { "embedded", "redis" } do
    it("leads from an empty folder to a live dashboard, with the store " .. kind, function()
      local store = kind == "redis" and redis.start()
      local reader = follow(TUTORIAL, "desk")
      reader.env.REDIS_URL = store and store.url
      reader:on '"value": 35'
      reader:settle()
      local view = http.pictures(reader, "/dashboard")
      assert.matches("0 readings, calm", view:next())
      reader:on '"on fire"'
      assert.matches("2 readings, too much", (view:till "2 readings"))
      reader:on()
      assert.matches("2 readings, on fire", (view:till "on fire"))
      view:close()
      reader:stop()
      if store then store:down() end
    end)
  end

  it("names the file of every block but of commands", function()
    for _, block in ipairs(documents.blocks(TUTORIAL)) do
      assert.is_truthy(block.path or block.language == "console" or block.language == "sh",
        "line " .. block.line)
    end
  end)
end)
