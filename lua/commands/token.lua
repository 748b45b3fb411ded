local admin = require "cli.auth"
local crypto = require "host.crypto"
local json = require "host.json"
local units = require "cli.units"


local function token_of(call)
  local word = call.words[1]
  if word == "-" then word = io.stdin:read "l" or "" end
  return (word:gsub("^%s*[Bb]earer%s+", ""):gsub("%s", ""))
end


local function issue(call)
  if not call.options.user then call:usage "a token is somebody's: --user NAME" end
  local answer = admin(call, "issue", { user = call.options.user, ttl = call.options.ttl })
  if call.json then return call:record(answer) end
  call:say("%s", answer.token)
end


local function part(call, text, what)
  local bytes = crypto.base64url_decode(text)
  local value = bytes and json.decode(bytes)
  if type(value) ~= "table" then call:fail("the token's %s is no JSON", what) end
  return value
end


local function moment(seconds)
  local left = seconds - os.time()
  local distance = left >= 0 and "in " .. units.span(left) or units.span(-left) .. " ago"
  return ("%s (%s)"):format(units.moment(seconds), distance)
end


local TIMES = { iat = "issued", nbf = "good from", exp = "expires" }

local function print_claims(call, claims)
  call:record(claims)
  for _, name in ipairs { "iat", "nbf", "exp" } do
    if type(claims[name]) == "number" then
      call:note("%s %s", TIMES[name], moment(claims[name]))
    end
  end
end


local function inspect(call)
  local head, body = token_of(call):match "^([%w_-]+)%.([%w_-]+)%.[%w_-]*$"
  if not head then call:fail "this is no token: three parts with dots between are expected" end
  local header, claims = part(call, head, "header"), part(call, body, "body")
  if call.json then return call:record { header = header, claims = claims } end
  call:record(header)
  print_claims(call, claims)
  call:note "the signature was not checked: `lunacast token verify` does"
end


local function verify(call)
  local answer = admin(call, "verify", { token = token_of(call) })
  if call.json then return call:record(answer.claims) end
  print_claims(call, answer.claims)
end


return {
  summary = "issue, read and check tokens",
  usage = "token issue|inspect|verify",
  examples = {
    "lunacast token issue --user ada --ttl 15m",
    "lunacast token inspect eyJhbGciOi...",
    "pbpaste | lunacast token verify -",
  },
  commands = {
    issue = {
      summary = "a token for a user", usage = "token issue --user NAME [--ttl 15m]", lists = true,
      options = {
        { "user", "NAME", help = "whose token (claim sub)" },
        { "ttl", "TIME", help = "its life, such as 15m (default: setting token.ttl)" },
      },
      examples = { "TOKEN=$(lunacast token issue --user ada)" },
      run = issue,
    },
    inspect = {
      summary = "what is in a token; its signature is not checked", words = { 1 }, lists = true,
      usage = "token inspect TOKEN|-", examples = { "lunacast token inspect - < token.txt" },
      run = inspect,
    },
    verify = {
      summary = "is it good? exit code 1 when not, with the reason", words = { 1 }, lists = true,
      usage = "token verify TOKEN|-", examples = { "lunacast token verify eyJhbGciOi..." },
      run = verify,
    },
  },
}
