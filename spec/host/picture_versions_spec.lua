-- The same picture by every transport, with one version number.
local http = require "spec.support.http"
local json = require "host.json"
local server = require "spec.support.server"
local ws = require "spec.support.ws"


describe("a session's picture", function()
  local app
  setup(function() app = server.start { workers = 2 } end)
  teardown(function() app:stop() end)

  it("is the same by <img>, GET, event and WebSocket message, with one version", function()
    local function template(v) return ("<svg xmlns=\"http://www.w3.org/2000/svg\"><text>%s</text></svg>"):format(v) end
    app:post("/api/session", { json = { session_id = "one", template = template "{{ v }}", args = { v = 0 } } })
    local image, events = http.pictures(app, "/stream/one"), http.events(app, "/stream/one")
    local socket = ws.connect(app, "/ws")
    socket:text "watch:/stream/one"
    assert.equal("watching", json.decode(socket:read_text()).type)
    for v = 0, 3 do
      if v > 0 then app:put("/api/session/one", { json = { args = { v = v } } }) end
      local svg = template(v)
      assert.equal(svg, image:next())
      local event, message, picture = events:next(), json.decode(socket:read_text()), app:get("/svg/one")
      assert.equal(svg, event.data)
      assert.equal(svg, message.data)
      assert.equal(svg, picture.body)
      assert.equal(('"%s"'):format(event.id), picture.headers.etag:gsub("^W/", ""))
      assert.equal(event.id, tostring(message.version))
    end
    app:delete "/api/session/one"
    assert.is_true(json.decode(socket:read_text()).ended)
    assert.equal('{"code":"ended"}', events:next().data)
    socket:close()
    events:close()
    image:close()
  end)
end)
