---@meta

--- The WebSocket of a route. A connection's messages are handled in order, one task at a time; each
--- function may wait. What it raises is logged and closes the connection with 1011. The methods of
--- `ws` are annotated in lua/web/ws.lua.
---@class web.Socket
---@field open? fun(ws: web.Ws, req: web.Request): web.Response|true|nil a response refuses the
--- connection; else the answer is 101
---@field message? fun(ws: web.Ws, data: string, binary: boolean)
---@field gap? fun(ws: web.Ws, topic: string, lost: integer) messages of a topic that was subscribed
--- with mode = "log" were lost; 0: nobody knows how many
---@field close? fun(ws: web.Ws, code: integer, reason: string) once, after everything else; 1006: the
--- connection was lost
---@field protocols? string[] subprotocols that it speaks

---@class web.Exchange
local exchange = {}

--- Does the request ask for a WebSocket?
---@return boolean
function exchange:wants_ws() end

--- Nothing when it may become one; else the answer that refuses it.
---@return integer|nil status
---@return string|nil code
---@return string|nil message
function exchange:check_ws() end
