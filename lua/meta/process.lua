---@meta host.process

---Programs that specs and commands start (`lunacast test`, `lunacast lua`); applications start none.
---Most specs want host.test.process around it. One that is still alive at the end is killed.
---@class host.process
local process = {}

---@class host.Process
local program = {}

---@param file string found by PATH
---@param args string[] without the program's own name
---@param environment string[] NAME=value
---@param folder? string
---@return host.Process|nil
---@return string|nil message
---@return "spawn"|nil code
function process.start(file, args, environment, folder) end

---@return table<string, string>
function process.environment() end

---@return string path of this program
function process.executable() end

---@return string the current folder
function process.folder() end

---@return integer
function program:pid() end

---@return integer|nil code nil: it runs
---@return integer|nil signal 0: none
---@return boolean open output may still come
function program:status() end

---What was written since the last time.
---@return string stdout
---@return string stderr
function program:take() end

---@param signal integer
---@return boolean sent
function program:kill(signal) end

function program:close() end

return process
