local admin = require "cli.auth"
local units = require "cli.units"


local function list(call)
  local rows = admin(call, "keys").items
  if not call.json then
    for _, row in ipairs(rows) do
      row.expires_in = row.seconds and units.span(row.seconds) or "-"
    end
  end
  call:list(rows, { "kid", "alg", "use", "expires_in" })
end


local function rotate(call)
  local answer = admin(call, "rotate")
  if call.json then return call:record(answer) end
  call:say("%s signs from now on; the key of before verifies until its last token has expired",
    answer.kid)
end


local function retire(call)
  local answer = admin(call, "retire", { kid = call.words[1] })
  if call.json then return call:record(answer) end
  call:say("%s is gone; its tokens are good no longer", answer.kid)
end


return {
  summary = "the keys that sign and verify tokens",
  usage = "keys list|rotate|retire",
  about = "With the running server where there is one, else with the store of the application.",
  examples = { "lunacast keys list", "lunacast keys rotate", "lunacast keys retire KID" },
  commands = {
    list = { summary = "the key that signs, and those of before", usage = "keys list [--json]",
      lists = true, examples = { "lunacast keys list --app shop" }, run = list },
    rotate = { summary = "a new key signs; the one of before still verifies",
      usage = "keys rotate", lists = true, examples = { "lunacast keys rotate" }, run = rotate },
    retire = { summary = "take a key of before away; its tokens are good no longer",
      usage = "keys retire KID", words = { 1 }, dashed = true, lists = true,
      examples = { "lunacast keys retire Xk3n...", "lunacast keys list" }, run = retire },
  },
}
