-- Files of the application as answers: conditions (RFC 9110, section 13) and one range (section
-- 14). C opens the file below the application's folder and nowhere else, and streams it; a file of
-- the framework, which lies in the binary, is sent as a whole.
local crypto = require "host.crypto"
local errors = require "web.errors"
local etag = require "web.etag"
local file = require "host.file"
local httpdate = require "web.httpdate"
local type_of = require "web.types"


-- A file in the binary has no time; what it holds makes its tag.
local function tag_of(path, stat)
  if stat.embedded then
    return '"' .. crypto.sha256(file.source(path) or "", "hex"):sub(1, 16) .. '"'
  end
  return ('"%x-%x"'):format(stat.size, math.floor(stat.mtime * 1000))
end


local function not_modified(req, headers, stat)
  local tags = req:header "if-none-match"
  if tags then return etag.known(tags, headers.ETag) end
  local since = httpdate.parse(req:header "if-modified-since")
  return since ~= nil and math.floor(stat.mtime) <= since
end


-- Is the range still of the file that the client has begun?
local function same_file(req, headers, stat)
  local condition = req:header "if-range"
  if not condition then return true end
  if condition:find '^"' then return condition == headers.ETag end
  return httpdate.parse(condition) == math.floor(stat.mtime)
end


-- First and last byte of the one range that is asked for; nil: the whole file; false: none of it.
local function range_of(req, size)
  local first, last = (req:header "range" or ""):match "^bytes=%s*(%d*)%-(%d*)%s*$"
  if not first or first == "" and last == "" or #first > 15 or #last > 15 then return nil end
  if first == "" then
    local count = math.tointeger(tonumber(last))
    if count == 0 or size == 0 then return false end
    return math.max(size - count, 0), size - 1
  end
  first = math.tointeger(tonumber(first))
  last = last == "" and size - 1 or math.tointeger(tonumber(last))
  if first >= size then return false end
  if last < first then return nil end
  return first, math.min(last, size - 1)
end


local function whole(path, stat, content_type, headers)
  local answer = { status = 200, type = content_type, headers = headers }
  if not stat.embedded then
    answer.file = { path = path, offset = 0, length = stat.size }
    return answer
  end
  local message, code
  answer.body, message, code = file.read(path)
  if not answer.body then errors.throw_world(message, code, "the file can't be read now") end
  return answer
end


local function part(req, path, stat, content_type, headers)
  if req.method ~= "GET" or not same_file(req, headers, stat) then return nil end
  local first, last = range_of(req, stat.size)
  if first == nil then return nil end
  if not first then
    headers["Content-Range"] = "bytes */" .. stat.size
    errors.throw(416, "range", ("the file has %d bytes"):format(stat.size), headers)
  end
  headers["Content-Range"] = ("bytes %d-%d/%d"):format(first, last, stat.size)
  return {
    status = 206, type = content_type, headers = headers,
    file = { path = path, offset = first, length = last - first + 1 },
  }
end


--- A file of the application, with ETag, Last-Modified, 304 and ranges. 404 where there is none.
---@param req web.Request
---@param path string below the application's folder: "public/logo.png"
---@param options? { type?: string, cache?: string } Content-Type, Cache-Control
---@return web.Response
return function(req, path, options)
  options = options or {}
  local stat = path ~= "" and #path < 1024 and not path:find("\0", 1, true) and file.stat(path)
  if not stat then errors.throw(404, "not_found", "there is no such file") end
  local headers = {
    ETag = tag_of(path, stat),
    ["Cache-Control"] = options.cache or "no-cache",
    ["X-Content-Type-Options"] = "nosniff",
  }
  if not stat.embedded then
    headers["Accept-Ranges"] = "bytes"
    headers["Last-Modified"] = httpdate.format(stat.mtime)
  end
  etag.require(req:header "if-match", headers.ETag)
  if not_modified(req, headers, stat) then return { status = 304, headers = headers } end
  local content_type = options.type or type_of(path)
  return not stat.embedded and part(req, path, stat, content_type, headers)
    or whole(path, stat, content_type, headers)
end
