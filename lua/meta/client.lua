---@meta host.client

---One request to another server; scripts use `host.http` around it.
---@class host.client
local client = {}

---@class host.client.options
---@field url string with `unix` a path
---@field unix? string path of a socket
---@field method? string "GET"
---@field headers? table<string, string>
---@field body? string
---@field timeout? number seconds for all of it; none when absent
---@field connect_timeout? number 10
---@field first_byte_timeout? number
---@field idle_timeout? number 60
---@field allow_private? boolean
---@field insecure? boolean the certificate is not checked

---Waits for the answer's head. A failure of the world is nil, message, code: dns, refused, connect,
---tls, timeout, reset, bad_response, busy.
---@param options host.client.options
---@return host.client.answer|nil answer
---@return string|nil message
---@return string|nil code
function client.open(options) end

---@class host.client.answer
---@field status integer
---@field headers table<string, string> lower-case names
local answer = {}

---The next piece of the body, gzip undone; nil at its end; nil, message, code when it broke off.
---@return string|nil piece
---@return string|nil message
---@return string|nil code
function answer:read() end

---Ends the request, wherever it is.
function answer:close() end

return client
