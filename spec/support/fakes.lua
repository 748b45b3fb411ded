-- A world of plain tables in place of the C modules, so that the framework and the application can
-- be tested without a server: a store with versions, a hub, a clock, files, settings.
--   local world = fakes.install { files = { ["lua/routes"] = { "hello.lua" } }, config = { ... } }
local fakes = {}

local OWN = { "^web$", "^web%.", "^boot$", "^routes%.", "^middleware%.", "^topics%.", "^start%.",
  "^hooks%.", "^pictures%.", "^auth%.", "^host%." }


local function forget()
  for name in pairs(package.loaded) do
    for _, pattern in ipairs(OWN) do
      if name:find(pattern) then package.loaded[name] = nil end
    end
  end
end


-- host.json where the binary runs the specs, else the same contract over dkjson.
local function json()
  local ok, real = pcall(require, "host.json")
  if ok then return real end
  local dkjson = require "dkjson"
  local fake = { null = setmetatable({}, { __tojson = function() return "null" end }) }
  fake.array_mt = { __jsontype = "array" }
  local object_mt = { __jsontype = "object" }
  -- dkjson takes an empty table without a metatable for an array.
  local function typed(value)
    if type(value) ~= "table" or value == fake.null then return value end
    local copy = {}
    for name, item in pairs(value) do copy[name] = typed(item) end
    local mt = getmetatable(value)
    return setmetatable(copy, mt or (#value == 0 and object_mt) or fake.array_mt)
  end
  function fake.encode(value)
    return (dkjson.encode(typed(value)))
  end
  function fake.decode(text)
    local value, at, message = dkjson.decode(text, 1, fake.null, nil, fake.array_mt)
    if message or text:find("%S", at) then return nil, message or "trailing text", "syntax" end
    return value
  end
  return fake
end


-- A store with the contract of host.store. `before` is a hook (operation, key) that a spec uses to
-- let something happen in between, or to fail: it may return message, code.
local function store(world)
  local rows, counter, fake = {}, 0, { rows = {} }
  fake.rows = rows
  local function check(operation, key)
    if fake.before then
      local message, code = fake.before(operation, key)
      if message then return message, code end
    end
    local row = rows[key]
    if row and row.expires and row.expires <= world.now then rows[key] = nil end
  end
  local function put(key, value, ttl)
    counter = counter + 1
    rows[key] = { value = value, version = "v" .. counter, expires = ttl and world.now + ttl }
    return rows[key].version
  end
  function fake.get(key)
    local message, code = check("get", key)
    if message then return nil, message, code end
    local row = rows[key]
    if row then return row.value, row.version end
  end
  local function notify(options)
    if options and options.channel then world.hub.receive(options.channel, options.message) end
  end
  function fake.set(key, value, options)
    local message, code = check("set", key)
    if message then return nil, message, code end
    return put(key, value, options and options.ttl)
  end
  function fake.add(key, value, options)
    local message, code = check("add", key)
    if message then return nil, message, code end
    if rows[key] then return nil, "the key exists", "exists" end
    notify(options)
    return put(key, value, options and options.ttl)
  end
  function fake.cas(key, value, version, options)
    local message, code = check("cas", key)
    if message then return nil, message, code end
    local row = rows[key]
    if not row then return nil, "no such key", "absent" end
    if row.version ~= version then return nil, "another version", "conflict" end
    local expires = row.expires
    local new = put(key, value, options and options.ttl)
    if not (options and options.ttl) then rows[key].expires = expires end
    notify(options)
    return new
  end
  function fake.delete(key, options)
    local message, code = check("delete", key)
    if message then return nil, message, code end
    local row = rows[key]
    if not row then return false end
    if options and options.version and options.version ~= row.version then
      return nil, "another version", "conflict"
    end
    rows[key] = nil
    notify(options)
    return true
  end
  function fake.incr(key, by, options)
    local message, code = check("incr", key)
    if message then return nil, message, code end
    local row = rows[key]
    if row and row.expires and row.expires <= world.now then row = nil end
    local value = (row and tonumber(row.value) or 0) + (by or 1)
    local expires = row and row.expires
    put(key, ("%d"):format(value), not row and options and options.ttl)
    if row then rows[key].expires = expires end
    return value
  end
  function fake.list(prefix, options)
    local message, code = check("list", prefix)
    if message then return nil, message, code end
    local keys = {}
    for key in pairs(rows) do
      if key:sub(1, #prefix) == prefix then keys[#keys + 1] = key end
    end
    table.sort(keys)
    local start = tonumber(options and options.cursor or 1)
    local page = table.move(keys, start, start + (options and options.limit or 1000) - 1, 1, {})
    local next_start = start + #page
    return page, next_start <= #keys and tostring(next_start) or nil
  end
  function fake.ping()
    local message, code = check("ping", "")
    if message then return nil, message, code end
    return true
  end
  return fake
end


local function hub(world)
  local fake = { published = {}, closed = {}, live = {}, watching = 0 }
  local function live_topic(topic)
    local live = fake.live[topic]
    if live and live.expires and live.expires <= world.now then fake.live[topic] = nil end
    return fake.live[topic]
  end
  function fake.publish_local(topic, data, options)
    local live = live_topic(topic)
    if live and live.version >= options.version then return true end
    fake.live[topic] = { data = data, version = options.version,
      expires = options.ttl and world.now + options.ttl }
    return true
  end
  local function check(operation, topic)
    if world.store.before then return world.store.before(operation, topic) end
  end
  function fake.publish(topic, data, options)
    local message, code = check("publish", topic)
    if message then return nil, message, code end
    table.insert(fake.published, { topic = topic, data = data, version = options.version,
      ttl = options.ttl })
    return fake.publish_local(topic, data, options)
  end
  function fake.close(topic)
    fake.live[topic] = nil
    fake.closed[topic] = "everywhere"
    return true
  end
  function fake.topics()
    local names = {}
    for name in pairs(fake.live) do names[#names + 1] = name end
    return names
  end
  function fake.close_local(topic)
    fake.live[topic] = nil
    fake.closed[topic] = "here"
  end
  function fake.compose() end -- there are no other nodes
  -- To all nodes, with a write to the store.
  function fake.compose(topic, data, options)
    return topic, { data = data, options = options }
  end
  function fake.receive(topic, message)
    if message.data then return fake.publish(topic, message.data, message.options) end
    return fake.close(topic)
  end
  function fake.latest(topic)
    local live = live_topic(topic)
    if live then return live.data, live.version end
  end
  function fake.watch(topic)
    local message, code = check("watch", topic)
    if message then return nil, message, code end
    fake.watching = fake.watching + 1
    local live = live_topic(topic) or {}
    local watch = { data = live.data, version = live.version }
    function watch:close()
      if not self.closed then fake.watching = fake.watching - 1 end
      self.closed = true
    end
    return setmetatable(watch, { __close = watch.close })
  end
  function fake.count()
    return 0
  end
  function fake.revoked()
    return false, true
  end
  function fake.node()
    return "node"
  end
  function fake.rules(list)
    fake.rule_list = list
  end
  function fake.rule()
    return { mode = "latest" }
  end
  local connections = 0
  function fake.connection_id()
    connections = connections + 1
    return "connection-" .. connections
  end
  return fake
end


local function config(settings)
  local fake = { app = settings.app or {} }
  local values = {
    ["token.issuer"] = "realtime-svg", ["token.ttl"] = 3600, ["token.max_ttl"] = 30 * 86400,
    ["token.leeway"] = 5, ["token.rotate"] = 90 * 86400, ["session.expire"] = 86400,
    ["limits.template"] = 262144, ["limits.session"] = 4194304, demo = false,
    ["sse.handlers"] = 1000, ["password.ln"] = 17, ["password.r"] = 8, ["password.p"] = 1,
    dev = false, rerender = false, ["https.redirect"] = false, ["https.port"] = 443,
    ["https.hsts"] = 0,
  }
  for name, value in pairs(settings) do values[name] = value end
  function fake.get(name)
    local value = values[name]
    if value == nil then error("no setting is named " .. name, 2) end
    return value
  end
  function fake.section(name)
    local sections = settings.sections or {}
    return sections[name] or name == "plugins" and {} or nil
  end
  return fake
end


local function log(world)
  local fake = {}
  for _, level in ipairs { "debug", "info", "warn", "error" } do
    fake[level] = function(message, fields)
      table.insert(world.logged, { level = level, message = message, fields = fields })
    end
  end
  return fake
end


-- files: folder -> list of names, and path -> contents.
local function file(files)
  local fake = {}
  function fake.list(folder)
    return files[folder] or {}
  end
  function fake.source(path)
    if type(files[path]) == "string" then return files[path] end
  end
  function fake.read(path)
    if type(files[path]) == "string" then return files[path] end
    return nil, "no such file: " .. path, "absent"
  end
  function fake.stat(path)
    local data = files[path]
    if type(data) ~= "string" then return nil, "no such file: " .. path, "absent" end
    return { size = #data, mtime = files.mtime or 1700000000, type = "file" }
  end
  return fake
end


--- Replaces every host.* module and forgets all modules of the framework and the application.
---@param options? { files?: table, config?: table, modules?: table<string, any> }
function fakes.install(options)
  options = options or {}
  if not package.path:find("./lua/?.lua", 1, true) then
    package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
  end
  forget()
  local world = { now = 1700000000, slept = 0, logged = {} }
  world.json = json()
  world.store = store(world)
  world.hub = hub(world)
  local modules = {
    ["host.account"] = {
      of = function() return 1 end,
      enter = function() return 0 end,
      back = function(_, ...) return ... end,
      failed = function() end,
      failures = function() return 0 end,
    },
    ["host.event"] = { new = function() return { set = function() end } end },
    ["host.task"] = {
      spawn = function() return 1 end,
      alive = function() return false end,
      current = function() return 1 end,
    },
    ["host.json"] = world.json,
    ["host.store"] = world.store,
    ["host.hub"] = world.hub,
    ["host.config"] = config(options.config or {}),
    ["host.log"] = log(world),
    ["host.file"] = file(options.files or {}),
    ["host.metrics"] = {
      text = function() return "up 1\n" end,
      counter = function() return { inc = function() end } end,
    },
    ["host.time"] = {
      now = function() return world.now end,
      monotonic = function() return world.now end,
      sleep = function(seconds)
        world.slept = world.slept + seconds
        world.now = world.now + seconds
        if world.on_sleep then world.on_sleep() end
      end,
    },
  }
  for name, module in pairs(options.modules or {}) do modules[name] = module end
  for name, module in pairs(modules) do package.loaded[name] = module end
  return world
end


--- An exchange: { headers = {}, query = "", body = "..." | { nil, message, code } }.
function fakes.exchange(options)
  options = options or {}
  local x = { routes = {}, reads = 0 }
  local headers = {}
  for name, value in pairs(options.headers or {}) do headers[name:lower()] = value end
  function x.header(_, name) return headers[name:lower()] end
  function x.headers() return headers end
  function x.query() return options.query or "" end
  function x.target() return options.target or "/" end
  function x.id() return "req-1" end
  function x.peer() return "127.0.0.1" end
  function x.network() return "127.0.0.1" end
  function x.host() return headers.host end
  function x.scheme() return options.scheme or "http" end
  function x.minor() return 1 end
  x.defaults = {}
  function x:default_header(name, value) self.defaults[name] = value end
  function x:route(pattern)
    if pattern then self.routes[#self.routes + 1] = pattern end
    return self.routes[#self.routes]
  end
  function x:body(limit)
    self.reads, self.limit = self.reads + 1, limit
    if type(options.body) == "table" then return table.unpack(options.body, 1, 3) end
    return options.body or ""
  end
  function x:json(limit)
    local kind = headers["content-type"] or "application/json"
    if not kind:find "json$" then return nil, "not " .. kind, "wrong_type" end
    local body, message, code = self:body(limit)
    if not body then return nil, message, code end
    if body == "" then return nil, "the body is empty", "empty_body" end
    local value, problem = package.loaded["host.json"].decode(body)
    if value == nil then return nil, problem, "bad_json" end
    return value
  end
  function x.read()
    return table.remove(options.pieces or {}, 1)
  end
  return x
end


--- Calls what a boot has for a request as C does, with `failed` for what is raised.
function fakes.request(boot, method, path, options)
  local x = fakes.exchange(options)
  local traceback
  local entry = boot.static and boot.static[method .. " " .. path]
  if entry then x:route(path) end
  local ok, res = xpcall(function()
    if entry then return entry[1](setmetatable({ x = x }, entry[2])) end
    return (boot.dispatch(x, method, path))
  end, function(err)
    traceback = debug.traceback(tostring(err))
    return err
  end)
  if not ok then res = boot.failed(res, traceback, x, options and options.dev or false) end
  return res, x, traceback
end

return fakes
