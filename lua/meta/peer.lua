---@meta host.peer

---Bare sockets, for specs and commands (`lunacast test`, `lunacast lua`); applications have none.
---Most specs want host.test.wire around it.
---@class host.peer
local peer = {}

---@class host.Peer
local socket = {}

---Begins to connect, to an IP address and a port, or to the path of a unix socket.
---@param host string
---@param port? integer absent: host is a path
---@return host.Peer|nil
---@return string|nil message
---@return "socket"|nil code
function peer.connect(host, port) end

---@param host string
---@param port? integer absent: host is a path
---@return host.Peer|nil
---@return string|nil message
---@return "socket"|nil code
function peer.listen(host, port) end

---Waits until something has happened to a socket or a process of this script, or so many seconds.
---@param seconds number
function peer.wait(seconds) end

---@return boolean connected
---@return string|nil ended "end", or the name of the error
---@return integer writes that the kernel has not taken
function socket:status() end

---@return string bytes that have come since the last time
function socket:take() end

---@param data string
---@return boolean taken false: it is not connected
function socket:write(data) end

---Reads nothing, until resume.
function socket:pause() end

function socket:resume() end

---Ends our side.
function socket:shutdown() end

function socket:close() end

---Closes with RST.
function socket:reset() end

---@return host.Peer|nil accepted nil: nobody has come
function socket:accept() end

---@return integer|nil
function socket:port() end

return peer
