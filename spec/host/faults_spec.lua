-- What a process meets in the world: a closed log, a folder it may not write, no descriptors left.
local http = require "spec.support.http"
local process = require "spec.support.process"
local server = require "spec.support.server"
local uv = require "luv"
local wait = require "spec.support.wait"

local BINARY = uv.fs_realpath(server.BINARY)


-- A server under a shell that first does `before`.
local function start_in_shell(before, after, options)
  options = options or {}
  local folder = options.folder or server.folder()
  local command = ("%s exec %s run %s --listen 127.0.0.1:0 --workers %d %s %s"):format(before,
    BINARY, folder, options.workers or 1, options.args or "", after or "")
  local p = process.spawn("/bin/bash", { "-c", command })
  local port = wait.till(function()
    return p.out:match "ready on http://127.0.0.1:(%d+)" or not p:running()
  end, "the ready line", 30)
  return p, { port = tonumber(port) }, folder
end


local function stop(p)
  p:kill "sigterm"
  assert.equal(0, (p:wait()), p.err)
end


describe("a log that nobody reads any more", function()
  it("costs log lines and nothing else", function()
    local p, address = start_in_shell("", "2> >(exec 0<&-; sleep 0.1)")
    for _ = 1, 50 do assert.equal(200, http.request(address, "GET", "/health").status) end
    stop(p)
  end)

  it("on a full disk too", function()
    local p, address = start_in_shell("", "2> /dev/full")
    assert.equal(200, http.request(address, "GET", "/health").status)
    stop(p)
  end)
end)


describe("a data folder", function()
  it("of another process is refused with its pid", function()
    local app = server.start {}
    local second = server.launch { data = app.data }
    assert.equal(1, (second.process:wait()))
    assert.matches(tostring(app.process.pid), second.process.err)
    assert.equal(200, app:get("/health").status)
    app:stop()
  end)

  it("that cannot be made is one clear line", function()
    local folder = server.folder()
    server.write(folder, { file = "" })
    local app = server.launch { data = folder .. "/file/data" }
    assert.equal(1, (app.process:wait()))
    assert.matches(folder .. "/file/data", app.process.err, 1, true)
  end)
end)


describe("a limit of the size of files", function()
  it("is a write that fails, as on a full disk", function()
    local folder = server.folder()
    local p = process.run("/bin/bash", { "-c", ("ulimit -f 8; exec %s run %s --listen 127.0.0.1:0")
      :format(BINARY, folder) })
    assert.equal(1, p.code)
    assert.matches("lunacast: [^\n]*lunacast%.db: [^\n]*; no space is left: free some, then try again\n$", p.err)
  end)
end)


describe("descriptors", function()
  it("that are too few to start with are one clear line", function()
    for _, limit in ipairs { 8, 12, 16, 24 } do
      local p = process.run("/bin/bash", { "-c",
        ("ulimit -n %d; exec %s run %s --listen 127.0.0.1:0 --workers 2"):format(limit, BINARY,
          server.folder()) })
      assert.equal(1, p.code, p.err)
      assert.equal(("lunacast: this process may open %d files, and with 2 workers it needs 64 at "
        .. "least: raise `ulimit -n`, or lower the setting workers\n"):format(limit), p.err)
    end
  end)

  it("that run out cost new connections, for as long as it lasts #workers", function()
    local p, address = start_in_shell("ulimit -n 80;")
    local held = {}
    for i = 1, 120 do
      local c = require("spec.support.wire").connect(address)
      if c then held[#held + 1] = c end
      if i == 1 then assert.equal(200, http.ask(c, "GET", "/health").status) end
    end
    -- The first is still served.
    assert.equal(200, http.ask(held[1], "GET", "/health").status)
    for _, c in ipairs(held) do c:close() end
    wait.till(function()
      local c = require("spec.support.wire").connect(address)
      c:send(http.format("GET", "/health", { headers = { Connection = "close" } }))
      local ok, res = pcall(http.read_response, c, "GET", 3)
      c:close()
      return ok and res and res.status == 200
    end, "the server to accept again")
    stop(p)
  end)

  it("are all given back after many connections", function()
    local app = server.start {}
    app:get "/health"
    local before = app:metric "process_open_fds"
    for i = 1, 200 do
      local c = app:connect()
      if i % 3 == 0 then
        c:reset()
      else
        c:send(i % 3 == 1 and "GET / HT" or http.format("GET", "/health"))
        c:close()
      end
    end
    wait.till(function() return app:metric "process_open_fds" <= before end, "closed descriptors")
    app:stop()
  end)
end)


describe("a full server", function()
  it("says 503 to those beyond the limit and serves those it has", function()
    local app = server.start { workers = 1, set = { ["limits.connections"] = 20 } }
    local held = {}
    for i = 1, 20 do
      held[i] = app:connect()
      assert.equal(200, http.ask(held[i], "GET", "/health").status)
    end
    local one_more = app:connect()
    one_more:post(http.format("GET", "/health"))
    assert.equal(503, http.read_response(one_more).status)
    assert.equal(200, http.ask(held[1], "GET", "/health").status)
    for _, c in ipairs(held) do c:close() end
    wait.till(function()
      local c = app:connect()
      c:post(http.format("GET", "/health"))
      local res = http.read_response(c)
      c:close()
      return res and res.status == 200
    end, "room again")
    app:stop()
  end)
end)
