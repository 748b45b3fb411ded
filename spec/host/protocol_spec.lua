-- The server says what spec/protocol says that it says.
local transcript = require "spec.support.transcript"


describe("the server", function()
  for _, entry in ipairs(transcript.all()) do
    local play = entry.play
    if play.only ~= "client" then
      it(("keeps to %s: %s"):format(entry.name, play.title), function() transcript.run(play) end)
    end
  end
end)
