-- One line per request with what the built-in one (log.access) does not know: who, with which
-- browser, from where. As fields of the structured log, or in the formats of Apache and nginx.
-- The query is never logged: it may hold a token.
local errors = require "web.errors"
local log = require "host.log"
local time = require "host.time"

local SHOWN <const> = 500 -- bytes of a header


local function quoted(text)
  return text and text:sub(1, SHOWN):gsub('[%c"\\]', function(c)
    return ("\\x%02x"):format(c:byte())
  end) or "-"
end


local function user_of(req)
  local claims = rawget(req, "claims")
  return type(claims) == "table" and type(claims.sub) == "string" and claims.sub or nil
end

local formats = {}


function formats.json(entry)
  log.info("access", entry)
end


local function common(entry)
  return ('%s - %s [%s] "%s %s HTTP/1.1" %d -'):format(entry.peer, quoted(entry.user),
    os.date("!%d/%b/%Y:%H:%M:%S +0000", entry.at // 1 | 0), entry.method, quoted(entry.path),
    entry.status)
end


function formats.common(entry)
  log.info(common(entry))
end


function formats.combined(entry)
  log.info(('%s "%s" "%s"'):format(common(entry), quoted(entry.referer), quoted(entry.user_agent)))
end


local function setup(plugin, config)
  local write, skip = formats[config.format], {}
  for _, path in ipairs(config.skip) do skip[path] = true end

  -- Read before the handler: a request whose handler has raised is over when its line is written.
  local function entry_of(req)
    return {
      at = time.now(), began = time.monotonic(), peer = req.peer, method = req.method,
      path = req.path, route = req.route and req.route.path, request_id = req.id,
      referer = req:header "referer", user_agent = req:header "user-agent",
    }
  end

  local function finish(req, entry, status)
    local ms = (time.monotonic() - entry.began) * 1000
    if ms < config.slow_ms then return end
    if config.sample < 1 and status < 500 and math.random() >= config.sample then return end
    entry.began, entry.ms = nil, math.floor(ms * 10) / 10
    entry.user, entry.status = user_of(req), status
    write(entry)
  end

  -- What is raised passes by: its line is written while the request unwinds, its traceback stays.
  local function watched(req, entry)
    return setmetatable({}, { __close = function(_, err)
      if err ~= nil then finish(req, entry, errors.is(err) and err.status or 500) end
    end })
  end

  plugin:middleware(function(req, next)
    if skip[req.path] then return next(req) end
    local entry = entry_of(req)
    local guard <close> = watched(req, entry) -- luacheck: ignore 211
    local res = next(req)
    finish(req, entry, type(res) == "table" and res.status or 200)
    return res
  end)
end

return {
  name = "access-log",
  version = "1.0",
  summary = "a line per request",
  config = {
    format = { type = "string", enum = { "json", "common", "combined" }, default = "json" },
    skip = { type = "array", items = { type = "string" }, max = 100,
      default = { "/health", "/ready", "/metrics" } },
    slow_ms = { type = "number", min = 0, default = 0 },
    sample = { type = "number", min = 0, max = 1, default = 1 },
  },
  setup = setup,
}
