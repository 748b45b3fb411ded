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

---From a secret as many bytes as needed (HKDF with SHA-256, RFC 5869).
---@param secret string
---@param salt string "": none
---@param info string what the bytes are for
---@param size integer 1 to 8160
---@return string bytes
function crypto.hkdf(secret, salt, info, size) end

---@alias crypto.curve "P-256"|"X25519"

---A new key pair for an agreement. Its private half never leaves it.
---@param curve crypto.curve
---@return crypto.Pair
function crypto.key_pair(curve) end

---A secret that two sides share already. It can't be read out again.
---@param bytes string 16 to 1024 bytes
---@return crypto.Secret
function crypto.secret(bytes) end

---@class crypto.Pair
local pair = {}

---@return crypto.curve
function pair:curve() end

---The public half as WebCrypto imports it.
---@param form? "raw"|"spki"|"jwk" default "raw"
---@return string|table
function pair:public(form) end

---The secret shared with the owner of a public key, and that key in raw form. Derive keys from it;
---it is none itself. Code "bad_key": no key of this curve, off the curve, or of low order.
---@param public string|table raw, SPKI, or a JWK
---@return crypto.Secret? secret
---@return string raw or the message
---@return "bad_key"? code
function pair:agree(public) end

---@class crypto.Secret
local secret = {}

---A secret for one purpose (HKDF with SHA-256).
---@param info string the purpose
---@param options? { salt?: string, size?: integer } size: 16 to 1024, default 32
---@return crypto.Secret
function secret:derive(info, options) end

---Two keys (AES-256-GCM), one for each direction: what one side calls `send`, the other calls
---`receive`. Make one channel only of a secret and a salt: each counts from one.
---@param names { salt?: string, send: string, receive: string }
---@return crypto.Channel
function secret:channel(names) end

---@class crypto.Channel
local channel = {}

---Seals a text; its number makes the nonce and is never used again. Code "used_up": after 2^32.
---@param text string
---@param aad? string what the other side must know too, such as where the message belongs
---@return integer? number
---@return string sealed or the message
---@return "used_up"? code
function channel:seal(text, aad) end

---Opens what the other side has sealed. Numbers must grow. Codes: "replay", "not_opened".
---@param number integer
---@param sealed string
---@param aad? string
---@return string? text
---@return string? message
---@return "replay"|"not_opened"|nil code
function channel:open(number, sealed, aad) end

return crypto
