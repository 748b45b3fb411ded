-- Server-sent events out of a stream of bytes, by the rules of the HTML standard: lines end with
-- CR, LF or both, in any mixture and across pieces; a block ends with an empty line; a block that
-- is cut off by the end is dropped.
local events = {}

local EVENT_MAX = 1024 * 1024

---@class host.Event
---@field data string
---@field event string "message" when absent
---@field id string|nil the last one seen
---@field retry integer|nil milliseconds


local function new_block()
  return { data = {} }
end


local function field(feed, block, line)
  local name, value = line:match "^([^:]*): ?(.*)$"
  if not name then name, value = line, "" end
  if name == "data" then
    block.data[#block.data + 1] = value
  elseif name == "event" then
    block.event = value
  elseif name == "id" and not value:find "\0" then
    feed.last_id = value
  elseif name == "retry" and value:find "^%d+$" then
    block.retry = math.tointeger(tonumber(value))
  end
end


-- Takes one line off feed.text; nil: there is no whole one. A CR at the very end waits for what
-- follows, which may be its LF.
local function next_line(feed)
  local text = feed.text
  local at = text:find("[\r\n]", feed.at)
  if not at then return nil end
  local stop = at
  if text:byte(at) == 13 then
    if at == #text and not feed.ended then return nil end
    if text:byte(at + 1) == 10 then stop = at + 1 end
  end
  local line = text:sub(feed.at, at - 1)
  feed.at = stop + 1
  return line
end


-- The next event that lies in feed.text; nil: more bytes are needed.
local function next_event(feed)
  for line in next_line, feed do
    local block = feed.block
    if line == "" then
      feed.block = new_block()
      if block.data[1] then
        return {
          data = table.concat(block.data, "\n"), event = block.event or "message",
          id = feed.last_id, retry = block.retry,
        }
      end
    elseif line:sub(1, 1) ~= ":" then
      field(feed, block, line)
    end
  end
  return nil
end


local function take_in(feed, piece)
  local text = feed.text:sub(feed.at) .. piece
  if feed.first and #text > 0 then
    text = text:gsub("^\xEF\xBB\xBF", "")
    feed.first = false
  end
  feed.text, feed.at = text, 1
  return #text <= EVENT_MAX
end


local Feed = {}
Feed.__index = Feed


local function fail(feed, message, code)
  feed.failure, feed.code = message, code
  feed:close()
  return nil
end


--- The next event; nil at the end, `failure` and `code` tell whether it was a good one.
---@return host.Event|nil
function Feed:next()
  while self.raw do
    local event = next_event(self)
    if event then return event end
    local piece, message, code = self.raw:read()
    if not piece then return fail(self, message, code) end
    if not take_in(self, piece) then
      return fail(self, "an event is larger than 1 MiB", "too_large")
    end
  end
  return nil
end


function Feed:close()
  if self.raw then self.raw:close() end
  self.raw = nil
end

Feed.__call = Feed.next
Feed.__close = Feed.close


--- Wraps something with read() and close(); without it the feed has ended with that failure.
function events.reader(raw, message, code)
  return setmetatable({
    raw = raw, failure = message, code = code, text = "", at = 1, first = true, block = new_block(),
  }, Feed)
end

return events
