-- Certificates of servers at 127.0.0.1 that nobody else has signed.
local process = require "spec.support.process"
local server = require "spec.support.server"

local certificate = {}


--- A new certificate and its key, for two days.
---@return string cert a PEM file, which is also the one to be trusted
---@return string key
function certificate.make()
  local folder = server.folder()
  local cert, key = folder .. "/a.crt", folder .. "/a.key"
  local done = process.run("openssl", { "req", "-x509", "-newkey", "ec", "-pkeyopt",
    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=spec", "-addext",
    "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert })
  assert(done.code == 0, done.err)
  return cert, key
end

return certificate
