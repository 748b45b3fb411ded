-- Names of the publish/subscribe contract, and the topic of the hub that a (tenant, session, topic)
-- stands for. That is made in C (hub.key) so that no two of them share a topic, whatever their
-- characters.
local hub = require "host.hub"

local names = {}

local TOPIC_MAX, SESSION_MAX, TENANT_MAX = 100, 80, 40
local NAME_MAX = SESSION_MAX - #"session-"


local function fits(text, max)
  return type(text) == "string" and #text >= 1 and #text <= max and utf8.len(text) ~= nil
    and not text:find "[%c|*]"
end

names.TOPIC_RULE = ("1 to %d bytes of text, without | and *"):format(TOPIC_MAX)
names.PATTERN_RULE = names.TOPIC_RULE .. "; a star at its end stands for all that begin so"
names.SESSION_RULE = ("1 to %d bytes of text, without | and *"):format(SESSION_MAX)
names.NAME_RULE = ("1 to %d bytes of text, without | and *"):format(NAME_MAX)


---@return boolean
function names.is_topic(text)
  return fits(text, TOPIC_MAX)
end


--- A topic, or a pattern of topics: one that ends in a star. Never all of them.
---@return boolean
function names.is_pattern(text)
  if type(text) ~= "string" then return false end
  local stem = text:match "^(.*)%*$"
  return stem and fits(stem, TOPIC_MAX - 1) or fits(text, TOPIC_MAX)
end


---@return boolean
function names.is_session(text)
  return fits(text, SESSION_MAX)
end


--- A client's own name.
---@return boolean
function names.is_name(text)
  return fits(text, NAME_MAX)
end


---@return boolean
function names.is_tenant(text)
  return fits(text, TENANT_MAX)
end


--- The hub's topic.
---@type fun(tenant: string, session: string, topic: string): string
names.key = hub.key

return names
