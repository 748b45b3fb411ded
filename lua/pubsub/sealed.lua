-- A connection's own encryption, agreed on by its first message (docs/protocol.md, "Sealed
-- connections"): an ephemeral key of each side, HKDF over what both have seen, a key for each
-- direction. The keys live in C with the connection and go with it; a new connection has new ones.
--
-- It keeps what is said from whoever ends TLS on the way (a proxy, a log), not from one who changes
-- messages in between, unless the client asks for the proof and knows the server's keys from
-- elsewhere. What must never happen: a key or a secret in a Lua string or in the log.
local crypto = require "host.crypto"
local json = require "host.json"
local jwt = require "host.jwt"
local keys = require "auth.keys"
local time = require "host.time"

local sealed = {}

local CURVES = { ["P-256"] = true, X25519 = true }
local CURVE = "P-256"
local LABEL = "lunacast sealed 1"
local AUDIENCE, PROOF_SECONDS = "sealed", 60


-- A public key as it comes: base64url of its raw or SPKI form, or a JWK.
local function key_of(value)
  if type(value) == "string" then return (crypto.base64url_decode(value)) end
  return type(value) == "table" and value ~= json.null and value or nil
end


local function bad(message)
  return nil, message, "bad_key"
end


-- What a key of the server signs: that this connection's key is the server's, and meant for this
-- client.
local function prove(ws, client_key, server_key)
  local now = math.floor(time.now())
  return jwt.sign({
    aud = AUDIENCE, iat = now, exp = now + PROOF_SECONDS,
    connection = ws.id, client = client_key, server = server_key,
  }, keys.signing())
end


--- The salt of both keys: the hash of everything that both sides have said.
---@param curve string
---@param connection string its id
---@param client_raw string
---@param server_raw string
---@return string
function sealed.salt(curve, connection, client_raw, server_raw)
  return crypto.sha256(table.concat({ LABEL, curve, connection, "" }, "\0")
    .. client_raw .. server_raw)
end


-- What the client wants: curve and key; or nil, message, code.
local function wish(text)
  local hello, message = json.decode(text)
  if type(hello) ~= "table" or hello == json.null then
    return nil, "the hello is no JSON object" .. (message and ": " .. message or ""), "bad_json"
  end
  local curve = hello.curve
  if curve == nil then curve = CURVE end
  if not CURVES[curve] then return bad '"curve" is "P-256" or "X25519"' end
  local key = key_of(hello.key)
  if not key then
    return bad '"key" is a public key: base64url of its raw or SPKI form, or a JWK'
  end
  return { curve = curve, key = key, prove = hello.prove == true }
end


--- Agrees on keys and seals the connection; the answer is the last message in the clear.
---@param ws web.Ws
---@param text string the client's hello
---@return true|nil
---@return string|nil message
---@return string|nil code
function sealed.agree(ws, text)
  local hello, message, code = wish(text)
  if not hello then return nil, message, code end
  local pair = crypto.key_pair(hello.curve)
  local secret, client_raw, wrong = pair:agree(hello.key)
  if not secret then return nil, client_raw, wrong end
  local server_raw = pair:public()
  local channel = secret:channel {
    salt = sealed.salt(hello.curve, ws.id, client_raw, server_raw),
    send = "server", receive = "client",
  }
  local server_key, proof = crypto.base64url_encode(server_raw), nil
  if hello.prove then
    proof, message, code = prove(ws, crypto.base64url_encode(client_raw), server_key)
    if not proof then return nil, message, code end
  end
  return ws:seal(channel, json.encode { type = "hello", connection = ws.id, curve = hello.curve,
    key = server_key, proof = proof })
end

return sealed
