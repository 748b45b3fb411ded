-- The object that is published, as every subscriber gets it.
local json = require "host.json"
local time = require "host.time"

local publication = {}


local function fill(object, name, value)
  if object[name] ~= nil and object[name] ~= json.null then return false end
  object[name] = value
  return true
end


--- Reads and completes a publication.
---@param text string JSON
---@param publisher string who it is when the object names nobody
---@return table|nil object
---@return string out what is delivered: the text itself where nothing had to be filled in; or the
--- client's mistake
---@return string|nil code
function publication.read(text, publisher)
  local object, problem = json.decode(text)
  if object == nil then return nil, "the message is not JSON: " .. problem, "bad_json" end
  if type(object) ~= "table" or object == json.null or getmetatable(object) == json.array_mt then
    return nil, "the message must be a JSON object", "bad_message"
  end
  if object.payload == nil then
    return nil, 'the message has no "payload"; it may be any JSON value', "bad_message"
  end
  local timed = fill(object, "timestamp", time.iso8601())
  local named = fill(object, "publisher_name", publisher)
  if type(object.publisher_name) ~= "string" then
    return nil, '"publisher_name" must be a string', "bad_message"
  end
  if object.session_id == json.null then object.session_id = nil end
  return object, (timed or named) and json.encode(object) or text
end

return publication
