---@meta host.crypto

---Random bytes, digests, bytes as text, comparison in constant time, passwords at rest.
---A failure of the world returns nil, a message for people, and a code.
---@class host.crypto
local crypto = {}

---@alias crypto.form "raw"|"hex"|"base64url"|"base64"

---Bytes that nobody can guess.
---@param n integer 1 to 65536
---@return string bytes
function crypto.random(n) end

---@param data string
---@param form? crypto.form default "raw"
---@return string digest
function crypto.sha256(data, form) end

---@param data string
---@param form? crypto.form default "raw"
---@return string digest
function crypto.sha384(data, form) end

---@param data string
---@param form? crypto.form default "raw"
---@return string digest
function crypto.sha512(data, form) end

---@param alg "sha256"|"sha384"|"sha512"
---@param key string
---@param data string
---@param form? crypto.form default "raw"
---@return string mac
function crypto.hmac(alg, key, data, form) end

---Are the two the same? Takes as long for a near miss as for a far one, so it is the way to compare
---secrets. Different lengths are told at once.
---@param a string
---@param b string
---@return boolean
function crypto.equal(a, b) end

---Without padding.
---@param data string
---@return string text
function crypto.base64url_encode(data) end

---Strict: exactly the text that base64url_encode would give, else nil, message, "syntax".
---@param text string
---@return string? data
---@return string? message
---@return "syntax"? code
function crypto.base64url_decode(text) end

---With padding.
---@param data string
---@return string text
function crypto.base64_encode(data) end

---Strict: exactly the text that base64_encode would give, else nil, message, "syntax".
---@param text string
---@return string? data
---@return string? message
---@return "syntax"? code
function crypto.base64_decode(text) end

---Lower case.
---@param data string
---@return string text
function crypto.hex_encode(data) end

---Upper and lower case.
---@param text string
---@return string? data
---@return string? message
---@return "syntax"? code
function crypto.hex_decode(text) end

---@class crypto.scrypt
---@field ln? integer log2 of N, 1 to 20; default: the setting password.ln (17)
---@field r? integer default: the setting password.r (8)
---@field p? integer default: the setting password.p (1)

---A password as it may be stored: "$scrypt$ln=17,r=8,p=1$salt$hash". Waits for about half a second,
---without blocking; at most cores - 1 hashes are made at once in the process, and password.queue
---(64) wait for their turn. Codes: "invalid" (1 to 1,024 bytes without NUL are possible), "busy"
---(the queue is full: answer 503), "memory".
---@param password string
---@param params? crypto.scrypt
---@return string? hash
---@return string? message
---@return "invalid"|"busy"|"memory"|nil code
function crypto.password_hash(password, params) end

---Is it the password of this hash? Waits like password_hash, with the parameters that the hash
---names. Codes: "bad_hash" (not of that form, or asking for too much), "busy", "memory".
---@param password string
---@param hash string
---@return boolean? right
---@return string? message
---@return "bad_hash"|"busy"|"memory"|nil code
function crypto.password_verify(password, hash) end

---Was the hash made with other parameters than these? Then hash the password again at the next
---successful login.
---@param hash string
---@param params? crypto.scrypt
---@return boolean
function crypto.needs_rehash(hash, params) end

return crypto
