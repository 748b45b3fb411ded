-- Names of the publish/subscribe contract, and the topic of the hub that a (tenant, session, topic)
-- stands for. The lengths are part of it, so that no two of them share a topic, whatever their
-- characters: ("a", "bc") and ("ab", "c") differ in the numbers.
local names = {}

local TOPIC_MAX, SESSION_MAX, TENANT_MAX = 100, 80, 40
local NAME_MAX = SESSION_MAX - #"session-"


local function fits(text, max)
  return type(text) == "string" and #text >= 1 and #text <= max and utf8.len(text) ~= nil
    and not text:find "[%c|*]"
end

names.TOPIC_RULE = ("1 to %d bytes of text, without | and *"):format(TOPIC_MAX)
names.SESSION_RULE = ("1 to %d bytes of text, without | and *"):format(SESSION_MAX)
names.NAME_RULE = ("1 to %d bytes of text, without | and *"):format(NAME_MAX)


---@return boolean
function names.is_topic(text)
  return fits(text, TOPIC_MAX)
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
---@param tenant string "": none
---@param session string
---@param topic string
---@return string
function names.key(tenant, session, topic)
  return ("pubsub:%d:%d:%s%s%s"):format(#tenant, #session, tenant, session, topic)
end

return names
