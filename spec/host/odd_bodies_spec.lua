-- Bodies that are made to cost much: deep, large, in many parts, or with names whose hashes collide.
local http = require "spec.support.http"
local json = require "host.json"
local server = require "spec.support.server"
local wait = require "spec.support.wait"


describe("a body that is made to cost much", function()
  local app

  setup(function()
    local set = { ["lua.time_ms"] = 1000 } -- with sanitizers
    app = server.start { workers = 1, set = set, files = { ["lua/routes/odd.lua"] = [[
      local web = require "web"
      return {
        { path = "/json", POST = function(req)
          local n = 0
          for _ in pairs(req.json) do n = n + 1 end
          return web.text(tostring(n))
        end },
        { path = "/form", POST = function(req)
          local n = 0
          for _ in pairs(req.form) do n = n + 1 end
          return web.text(tostring(n))
        end },
      }]] } }
  end)
  teardown(function() app:stop() end)

  local function post(path, kind, body)
    local began = wait.now()
    local res = app:post(path, { body = body, headers = { ["Content-Type"] = kind } })
    assert.is_true(wait.now() - began < 20, "it took " .. wait.now() - began)
    return res
  end

  local function refused(status, code, res)
    assert.equal(status, res.status)
    assert.equal(code, res:json().code)
    assert.equal(200, app:get("/health").status)
  end

  it("of 20,000 arrays in each other is refused", function()
    for _, text in ipairs { ("["):rep(20000), ("["):rep(20000) .. ("]"):rep(20000), ('{"a":'):rep(20000),
      ('{"a":'):rep(20000) .. "1" .. ("}"):rep(20000), ("["):rep(65) .. ("]"):rep(65) } do
      for _, path in ipairs { "/json", "/api/session", "/auth/login", "/publish" } do
        assert.equal(400, post(path, "application/json", text).status, path)
      end
    end
    assert.equal("1", post("/json", "application/json", ("["):rep(64) .. "1" .. ("]"):rep(64)).body)
  end)

  it("with numbers that are none of a computer's is refused", function()
    for _, number in ipairs { "1e999999", "-1e999999", "1e" .. ("9"):rep(400), ("9"):rep(400), "NaN", "Infinity",
      "0x10", "01", "1.", ".5", "+1", "-" } do
      refused(400, "bad_json", post("/json", "application/json", "[" .. number .. "]"))
    end
  end)

  it("of 100,000 parts of a form is refused, and so is a boundary without end", function()
    local parts = {}
    for i = 1, 100000 do parts[i] = "--b\r\n\r\n" end
    local many = table.concat(parts) .. "--b--\r\n"
    refused(415, "wrong_type", post("/form", "multipart/form-data; boundary=b", many))
    refused(415, "wrong_type", post("/json", "multipart/form-data; boundary=b", many))
    refused(415, "wrong_type", post("/form", "multipart/form-data; boundary=" .. ("b"):rep(8000), "--b"))
    refused(413, "too_large", post("/form", "application/x-www-form-urlencoded", ("b"):rep((1 << 20) + 1)))
    local c = app:connect()
    c:send(http.format("POST", "/form", { headers = { ["Transfer-Encoding"] = "chunked",
      ["Content-Type"] = "application/x-www-form-urlencoded" } }))
    for _ = 1, 40 do
      if not c:send("8000\r\n" .. ("a"):rep(32768) .. "\r\n") then break end
    end
    assert.equal(413, http.read_response(c).status)
    c:close()
  end)

  it("of 10,000 names costs no more than others of its size", function()
    local members, pairs_of_form = {}, {}
    for i = 1, 10000 do
      members[i], pairs_of_form[i] = ('"name%d":1'):format(i), "name" .. i .. "=1"
    end
    assert.equal("10000", post("/json", "application/json", "{" .. table.concat(members, ",") .. "}").body)
    assert.equal("1000",
      post("/form", "application/x-www-form-urlencoded", table.concat(pairs_of_form, "&")).body)
  end)
end)


describe("a picture of a script's own", function()
  it("is not shown where it could forge a part of the stream", function()
    local app = server.start { workers = 1, files = { ["lua/routes/lamp.lua"] = [[
      local hub, web = require "host.hub", require "web"
      return { path = "/lamp", GET = function() return web.mixed "lamp" end,
        POST = function(req)
          hub.publish("lamp", req.body)
          return web.empty()
        end }]] } }
    local function show(text) assert.equal(204, app:post("/lamp", { body = text }).status) end
    local viewer = app:stream "/lamp"
    show "<svg>1</svg>"
    assert.equal("<svg>1</svg>", viewer:next())
    local forged = "--frame\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>"
    for _, text in ipairs { "<svg>\n" .. forged, "<svg>\r" .. forged, "<svg>\r\n" .. forged, forged } do
      show(text)
      app:logged "could forge a part"
    end
    local late = app:connect()
    late:send(http.format("GET", "/lamp"))
    assert.is_truthy(late:read_until "\r\n\r\n--frame\r\nContent-Type: image/svg+xml\r\n\r\n")
    show "<svg>a--frame -\n-frame</svg>"
    assert.equal("<svg>a--frame -\n-frame</svg>", viewer:next())
    assert.equal("<svg>a--frame -\n-frame</svg>", late:read_until("</svg>"))
    assert.is_true(app:metric "lunacast_pictures_forged_total" >= 1)
    viewer:close()
    late:close()
    app:stop()
  end)
end)


-- Lua's hash of a string, whose seed the server draws at its start.
local function hashed(h, text)
  for i = #text, 1, -1 do
    h = (h ~ ((h << 5) + (h >> 2) + text:byte(i))) & 0xffffffff
  end
  return h
end


local LETTERS <const> = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

local function block(n)
  local function letter(i) return LETTERS:sub(i + 1, i + 1) end
  return letter(n & 63) .. letter(n >> 6 & 63) .. letter(n >> 12 & 63)
end


-- Two blocks that lead from a state to the same next one.
local function colliding(h)
  local seen = {}
  for n = 0, (1 << 18) - 1 do
    local text = block(n)
    local next_state = hashed(h, text)
    if seen[next_state] then return seen[next_state], text, next_state end
    seen[next_state] = text
  end
end


-- 2^stages names of one hash, for who knows the seed.
local function crafted(seed, stages)
  local h, names = (seed ~ 3 * stages) & 0xffffffff, { "" }
  for _ = 1, stages do
    local one, other, next_state = colliding(h)
    if not one then return nil end
    local longer = {}
    for i, name in ipairs(names) do
      longer[2 * i - 1], longer[2 * i] = one .. name, other .. name
    end
    h, names = next_state, longer
  end
  return names
end


local function object_of(names)
  local members = {}
  for i, name in ipairs(names) do members[i] = ('"%s":1'):format(name) end
  return "{" .. table.concat(members, ",") .. "}"
end


local function seconds_for(text)
  local best = math.huge
  for _ = 1, 5 do
    local began = os.clock()
    assert(json.decode(text))
    best = math.min(best, os.clock() - began)
  end
  return best
end


describe("names of one hash", function()
  it("are so for one seed only, and nobody knows the server's", function()
    local names, seed
    for try = 1, 20 do
      seed = try
      names = crafted(seed, 13)
      if names then break end
    end
    assert.equal(8192, #names)
    local one = hashed(seed ~ #names[1], names[1])
    for i = 1, 8192, 97 do assert.equal(one, hashed(seed ~ #names[i], names[i])) end
    local others = {}
    for i = 1, 8192 do others[i] = ("%039d"):format(i * 7919) end
    local bad, good = seconds_for(object_of(names)), seconds_for(object_of(others))
    assert.is_true(bad < good * 5 + 0.02, ("%.4f s, others %.4f s"):format(bad, good))
  end)
end)


describe("a body that two tasks want, or that outlives its request", function()
  local app

  setup(function()
    app = server.start { workers = 1, files = { ["lua/routes/shared.lua"] = [[
      local task = require "host.task"
      local time = require "host.time"
      local web = require "web"
      local heard = {}
      local function wait(req)
        local ok, err = pcall(function() return req.body end)
        heard[#heard + 1] = "body: " .. (ok and err or err.code)
      end
      local written = 0
      local function fill(write)
        local ok, err
        repeat
          ok, err = pcall(write, ("x"):rep(500000))
          written = written + 1
        until not ok
        heard[#heard + 1] = "write: " .. err
      end
      return {
        { path = "/heard", GET = function() return web.text(table.concat(heard, ", ")) end },
        { path = "/left", POST = function(req)
          task.spawn(wait, req)
          time.sleep(0.01)
          return web.text "answered"
        end },
        { path = "/both", POST = function(req)
          task.spawn(wait, req)
          time.sleep(0.01)
          return web.text(req.body)
        end },
        { path = "/writers", GET = function()
          return web.chunks("text/plain", function(write)
            task.spawn(fill, write)
            local before
            repeat
              before = written
              time.sleep(0.05)
            until written == before
          end)
        end },
        { path = "/forget", POST = function()
          heard = {}
          return web.text ""
        end },
      }
    ]] } }
  end)
  teardown(function() app:stop() end)

  local function heard(what)
    wait.till(function() return app:get("/heard").body == what end, what)
    app:post("/forget")
  end

  it("ends for who still waits when the request is answered", function()
    local c = app:connect()
    c:send(http.format("POST", "/left", { headers = { ["Content-Length"] = "10" } }) .. "half")
    assert.equal("answered", http.read_response(c).body)
    heard "body: aborted"
    c:close()
  end)

  it("has one reader, the last", function()
    local c = app:connect()
    c:send(http.format("POST", "/both", { headers = { ["Content-Length"] = "10" } }) .. "half")
    heard "body: aborted"
    c:send " whole"
    assert.equal("half whole", http.read_response(c).body)
    c:close()
  end)

  it("lets go on who still writes to a slow peer when the answer ends", function()
    local c = app:connect()
    c:pause()
    c:send(http.format("GET", "/writers"))
    heard "write: this request is over: its writer must not be kept"
    c:close()
  end)
end)
