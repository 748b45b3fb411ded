-- What topics are like, by the pattern of their names: `news` is that name, `news.*` each that
-- begins so. The exact name wins, then the longest beginning; where two are alike, the later one.
-- A rule may say
--   mode = "latest" | "log", history = { messages =, bytes =, age = seconds }, presence = true,
--   slow = "disconnect" | "latest" | "drop_oldest" | "pause", or { ws = ..., sse = ... },
--   max_wait = seconds after which a message that still waits is left out and told as a gap,
--   rate = messages a second to one subscriber, publish = who, subscribe = who
-- where who is true (anybody), false (nobody but scripts), "user" (who has a token), a table of
-- claims such as { role = "editor" } or { role = { "editor", "admin" } }, all of which must hold,
-- or a function(identity, topic) -> true | false, message, code.
local hub = require "host.hub"

local rules = {}

local FIELDS = {
  mode = "string", history = "table", presence = "boolean", slow = true, rate = "number",
  max_wait = "number", publish = true, subscribe = true,
}
local NAMES = "mode, history, presence, slow, max_wait, rate, publish, subscribe"

local list, exact, prefixes = {}, {}, {}


local function check_who(who, fail)
  local kind = type(who)
  if kind == "boolean" or kind == "function" or kind == "table" or who == "user" then return end
  fail 'publish and subscribe are true, false, "user", a table of claims, or a function'
end


local SLOW = { disconnect = true, latest = true, drop_oldest = true, pause = true }
local LIMITS = {
  messages = { least = 0, most = 100000, whole = true },
  bytes = { least = 1, most = 1 << 40, whole = true },
  age = { least = 0.001, most = 3e9 },
}


local function check_history(history, fail)
  for name, value in pairs(history) do
    local limit = LIMITS[name]
    if not limit then fail("history has no %s; it has messages, bytes and age", tostring(name)) end
    local kind = limit.whole and "a whole number" or "a number of seconds"
    if not (limit.whole and math.type(value) == "integer" or not limit.whole
      and type(value) == "number") or value < limit.least or value > limit.most then
      fail("history.%s must be %s from %s to %s", name, kind, limit.least, limit.most)
    end
  end
end


local function check_slow(slow, history, fail)
  local each = type(slow) == "table" and slow or { ws = slow, sse = slow }
  for class, word in pairs(each) do
    if class ~= "ws" and class ~= "sse" then fail "slow is one word, or a table with ws and sse" end
    if not SLOW[word] then
      fail("slow is disconnect, latest, drop_oldest or pause, not %s", tostring(word))
    end
    if word == "pause" and (not history or history.messages == 0) then
      fail "slow = pause needs a history, which keeps what waits"
    end
  end
end


local function check(pattern, rule, origin)
  local function fail(text, ...)
    error(("%s: the rule of %s: " .. text):format(origin, tostring(pattern), ...), 0)
  end
  if type(pattern) ~= "string" or pattern == "" or #pattern > 255 then
    fail "a pattern is 1 to 255 bytes"
  end
  if pattern:sub(1, -2):find("*", 1, true) then fail "a * can only be the last character" end
  if type(rule) ~= "table" then fail("it is a %s, not a table", type(rule)) end
  for name, value in pairs(rule) do
    local wanted = FIELDS[name]
    if not wanted then fail("there is no %s; there are %s", tostring(name), NAMES) end
    if wanted ~= true and type(value) ~= wanted then
      fail("%s must be a %s", name, wanted)
    end
  end
  if rule.history then
    check_history(rule.history, fail)
    if rule.mode == "latest" then fail 'with a history the mode is "log"' end
  end
  if rule.mode and rule.mode ~= "latest" and rule.mode ~= "log" then
    fail 'mode must be "latest" or "log"'
  end
  if rule.max_wait and not (rule.max_wait > 0 and rule.max_wait <= 3600) then
    fail "max_wait must be a number of seconds, more than 0, up to 3600"
  end
  if rule.slow ~= nil then check_slow(rule.slow, rule.history, fail) end
  if rule.publish ~= nil then check_who(rule.publish, fail) end
  if rule.subscribe ~= nil then check_who(rule.subscribe, fail) end
end


local function sort_out()
  exact, prefixes = {}, {}
  for _, rule in ipairs(list) do
    local stem = rule.pattern:match "^(.-)%*$"
    if stem then prefixes[#prefixes + 1] = { stem = stem, rule = rule }
    else exact[rule.pattern] = rule end
  end
end


--- The rule that counts for a name.
---@param topic string as clients name it, without session or tenant
---@return table|nil
function rules.find(topic)
  if exact[topic] then return exact[topic] end
  local best
  for _, p in ipairs(prefixes) do
    if topic:sub(1, #p.stem) == p.stem and (not best or #p.stem >= #best.stem) then best = p end
  end
  return best and best.rule
end


--- Adds rules; they count after `apply`.
---@param by_pattern table<string, table>
---@param origin string the file, for error messages
---@return fun() undo takes them away, after the next `apply`
function rules.add(by_pattern, origin)
  local added = {}
  for pattern, rule in pairs(by_pattern) do
    check(pattern, rule, origin)
    local entry = { pattern = pattern }
    for name, value in pairs(rule) do entry[name] = value end
    list[#list + 1] = entry
    added[entry] = true
  end
  return function()
    for i = #list, 1, -1 do
      if added[list[i]] then table.remove(list, i) end
    end
  end
end


--- Hands the rules to the hub.
function rules.apply()
  sort_out()
  hub.rules(list)
end


local function holds(claims, name, wanted)
  local value = claims[name]
  if type(wanted) ~= "table" then return value == wanted end
  for _, one in ipairs(wanted) do
    if value == one then return true end
  end
  return false
end


local function claims_hold(wanted, identity)
  local claims = identity.claims or identity
  for name, value in pairs(wanted) do
    if not holds(claims, name, value) and not holds(identity, name, value) then return false end
  end
  return true
end

local REFUSED = { publish = "this client may not publish to that topic",
  subscribe = "this client may not subscribe to that topic" }


local function verdict(rule, action, topic, identity)
  local who = rule and rule[action]
  if who == nil or who == true then return true end
  local ok, message, code = false, nil, nil
  if type(who) == "function" then
    ok, message, code = who(identity, topic)
  elseif who == "user" then
    ok = identity.user ~= nil
  elseif who then
    ok = claims_hold(who, identity)
  end
  if ok then return true end
  return false, message or REFUSED[action], code or "forbidden"
end


-- A pattern gives topics of several rules, all of which have to agree.
local function all_agree(action, pattern, identity)
  local stem = pattern:sub(1, -2)
  local ok, message, code = verdict(rules.find(stem), action, pattern, identity)
  for _, rule in ipairs(ok and list or {}) do
    if #rule.pattern > #stem and rule.pattern:sub(1, #stem) == stem then
      ok, message, code = verdict(rule, action, pattern, identity)
      if not ok then break end
    end
  end
  return ok, message, code
end


--- May somebody do this? Where no rule says anything, anybody may.
---@param action "publish"|"subscribe"
---@param topic string as clients name it; to be subscribed it may be a pattern
---@param identity table|nil { user =, tenant =, claims = }; nil: nobody knows
---@return boolean
---@return string|nil message
---@return string|nil code
function rules.may(action, topic, identity)
  identity = identity or {}
  if topic:sub(-1) == "*" then return all_agree(action, topic, identity) end
  return verdict(rules.find(topic), action, topic, identity)
end

return rules
