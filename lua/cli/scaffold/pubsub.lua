-- A chat: messages to everybody in a room, by WebSocket.
return {
  ["README.md"] = [[
# @NAME@

A chat: who is in a room gets every message, in the same order as everybody else.

    lunacast dev     # http://127.0.0.1:3000/ ; a saved file is live, no connection is closed
    lunacast test    # runs spec/
    lunacast check   # before you commit

| file | what |
|---|---|
| `lua/routes/room.lua` | the WebSocket, and posting by HTTP |
| `public/index.html`, `public/chat.js` | the page |
]],
  ["config.lua"] = [[
-- Settings; `lunacast config` lists all with their values.
return {
  app = { longest = 500 }, -- characters of a message
}
]],
  ["lua/routes/index.lua"] = [[
local web = require "web"

return {
  path = "/",
  GET = function(req)
    return web.file(req, "public/index.html")
  end,
}
]],
  ["lua/routes/room.lua"] = [[
local config = require "host.config"
local hub = require "host.hub"
local json = require "host.json"
local web = require "web"

local LOG = { mode = "log" } -- each message matters, not only the newest

local function topic_of(room)
  return "room:" .. room
end


-- A message to everybody in a room; nil and what is wrong with it.
local function say(room, name, text)
  if type(text) ~= "string" or not text:find "%S" then return nil, "a message needs a text" end
  local length = utf8.len(text)
  if not length or length > config.app.longest then
    return nil, ("a message has at most %d characters"):format(config.app.longest)
  end
  return hub.publish(topic_of(room), json.encode { name = name, text = text }, LOG)
end

return {
  path = "/room/{room}",
  WS = {
    open = function(ws, req)
      ws.data.name = req.query.name or "somebody"
      ws:subscribe(topic_of(ws.params.room), LOG)
    end,
    message = function(ws, text)
      local ok, message = say(ws.params.room, ws.data.name, text)
      if not ok then ws:send(json.encode { error = message }) end
    end,
  },
  POST = function(req)
    local ok, message = say(req.params.room, "http", req.json.text)
    if not ok then web.throw(400, "invalid", message) end
    return web.empty()
  end,
}
]],
  ["public/index.html"] = [[
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>@NAME@</title>
<style>
  body { max-width: 40rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui }
  form { display: flex; gap: .5rem }
  input { flex: 1; font: inherit; padding: .4em }
  button { font: inherit }
</style>
<h1>@NAME@</h1>
<div id="messages" role="log"></div>
<form><input name="text" autocomplete="off" aria-label="message"><button>Send</button></form>
<script src="/public/chat.js"></script>
</html>
]],
  ["public/chat.js"] = [[
"use strict";
const messages = document.querySelector("#messages");
const form = document.querySelector("form");
let socket;

function show(text) {
  const line = document.createElement("p");
  line.textContent = text;
  messages.append(line);
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/room/lobby`);
  socket.onmessage = (event) => {
    const { name, text, error } = JSON.parse(event.data);
    show(error ?? `${name}: ${text}`);
  };
  socket.onclose = () => setTimeout(connect, 500 + Math.random() * 1500);
}

form.onsubmit = (event) => {
  event.preventDefault();
  socket.send(form.elements.text.value);
  form.reset();
};
connect();
]],
  ["spec/room_spec.lua"] = [[
local json = require "host.json"
local test = require "host.test"

describe("a room", function()
  it("brings a message to everybody in it, and to nobody else", function()
    local app = test.app()
    local ada, bob, other = app:ws "/room/a?name=ada", app:ws "/room/a?name=bob", app:ws "/room/b"
    ada:send "hello"
    assert.same({ name = "ada", text = "hello" }, json.decode(bob:next()))
    assert.same({ name = "ada", text = "hello" }, json.decode(ada:next()))
    app:post("/room/b", { json = { text = "first" } })
    assert.equal("first", json.decode(other:next()).text)
  end)

  it("refuses a message that is too long", function()
    local ws = test.app():ws "/room/a"
    ws:send(("x"):rep(501))
    assert.matches("at most 500", json.decode(ws:next()).error)
  end)
end)
]],
}
