---@meta host.jwk

---Keys that sign and verify tokens, and sets of them. RSA (2,048 to 8,192 bits), P-256, Ed25519,
---and secrets of at least 32 bytes; nothing else. A key fixes its algorithm for life.
---A failure of the world returns nil, a message for people, and a code ("bad_key").
---@class host.jwk
local jwk = {}

---@alias jwk.alg "RS256"|"PS256"|"ES256"|"EdDSA"|"HS256"

---@class jwk.key
local key = {}

---Its name in a token's header and in a set: as given, else its thumbprint (RFC 7638).
---@return string
function key:kid() end

---@return jwk.alg
function key:alg() end

---Has it a private part? A secret is one.
---@return boolean
function key:can_sign() end

---The private key (PKCS#8). nil, message, "no_form" for public keys and secrets.
---@return string? pem
---@return string? message
---@return "no_form"? code
function key:pem() end

---The public key. nil, message, "no_form" for secrets.
---@return string? pem
---@return string? message
---@return "no_form"? code
function key:public_pem() end

---The public key as a JSON Web Key; never a private member.
---@return table? jwk
---@return string? message
---@return "no_form"? code
function key:jwk() end

---The bytes of an HS256 key; nil, message, "no_form" for others.
---@return string? bytes
---@return string? message
---@return "no_form"? code
function key:secret() end

---Up to 100 keys with different kids; #set is their number. Tokens that were verified with the set
---are forgotten when it changes.
---@class jwk.set
---@operator len: integer
local set = {}

---@param k jwk.key
---@return true? added
---@return string? message
---@return "exists"|"full"|nil code
function set:add(k) end

---@param kid string
---@return boolean removed false: there is no such key
function set:remove(kid) end

---@param kid string
---@return jwk.key?
function set:find(kid) end

---In the order of adding.
---@return jwk.key[]
function set:keys() end

---{"keys":[...]}, RFC 7517, public members only; secrets are left out.
---@return string
function set:json() end

---A new key. RSA keys wait, without blocking, up to seconds; the others are made at once.
---@param alg jwk.alg
---@param options? { bits?: integer, kid?: string } bits counts for RSA, default 2048
---@return jwk.key? key
---@return string? message
---@return string? code
function jwk.generate(alg, options) end

---A private or public key from PEM, without a passphrase.
---@param pem string
---@param options? { alg?: jwk.alg, kid?: string } alg "PS256" for an RSA key; default "RS256"
---@return jwk.key? key
---@return string? message
---@return string? code
function jwk.from_pem(pem, options) end

---A key from a JSON Web Key, or a set from a JWKS ("keys" is there), as text or table. A single key
---is one of ours and may be private or a secret. A set is somebody else's: private members are
---ignored, secrets and keys of unknown kinds or uses are skipped; the second result says how many.
---@param json string|table
---@param options? { alg?: jwk.alg, kid?: string } for a single key
---@return jwk.key|jwk.set|nil
---@return integer|string|nil skipped or message
---@return string? code
function jwk.import(json, options) end

---A set of these keys. Two of one kid raise.
---@param keys? jwk.key[]
---@return jwk.set
function jwk.set(keys) end

return jwk
