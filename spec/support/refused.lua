-- Requests that break a rule, each with the answers it may get: what a server must refuse, and what
-- must never come through a gateway.
local wait = require "spec.support.wait"

local refused = {}

refused.MARKER = "GET /smuggled HTTP/1.1\r\nHost: spec\r\n\r\n"


local function get(head)
  return "GET /health HTTP/1.1\r\nHost: a\r\n" .. head .. "\r\n"
end


local function post(head, body)
  return "POST /echo HTTP/1.1\r\nHost: a\r\n" .. head .. "\r\n" .. body
end


local function chunked(body)
  return post("Transfer-Encoding: chunked\r\n", body)
end

-- { name, bytes, status, more statuses ... }; 0: closed without a word.
refused.cases = {
  { "H01 length and coding", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400 },
  { "H01 coding and length", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400 },
  { "H02 two lengths", post("Content-Length: 0\r\nContent-Length: 5\r\n", "hello"), 400 },
  { "H02 a list of lengths", post("Content-Length: 0, 5\r\n", "hello"), 400 },
  { "H02 the same length twice", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), 400 },
  { "H02 the same length in a list", post("Content-Length: 5, 5\r\n", "hello"), 400 },
  { "H03 5 5", post("Content-Length: 5 5\r\n", "hello"), 400 },
  { "H03 +5", post("Content-Length: +5\r\n", "hello"), 400 },
  { "H03 -1", post("Content-Length: -1\r\n", "hello"), 400 },
  { "H03 0x5", post("Content-Length: 0x5\r\n", "hello"), 400 },
  { "H03 1_0", post("Content-Length: 1_0\r\n", "hello"), 400 },
  { "H03 empty", post("Content-Length: \r\n", "hello"), 400 },
  { "H03 2^64 + 5", post("Content-Length: 18446744073709551621\r\n", "hello"), 400, 413 },
  { "H04 xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 400, 501 },
  { "H04 chunked, gzip", post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), 400, 501 },
  { "H04 gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 400, 501 },
  { "H04 a tab before it", post("Transfer-Encoding:\tchunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"), 400 },
  { "H04 empty", post("Transfer-Encoding: \r\nContent-Length: 5\r\n", "hello"), 400 },
  { "H04 folded", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400 },
  { "H04 twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400 },
  { "H04 chunked, chunked", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400, 501 },
  { "H04 identity", post("Transfer-Encoding: identity\r\n", ""), 400, 501 },
  { "H04 with a parameter", post("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"), 400, 501 },
  { "H04 quoted", post('Transfer-Encoding: "chunked"\r\n', "0\r\n\r\n"), 400, 501 },
  { "H05 in HTTP/1.0", "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
  { "H06 size 0x5", chunked "0x5\r\nhello\r\n0\r\n\r\n", 400 },
  { "H06 a space before the size", chunked " 5\r\nhello\r\n0\r\n\r\n", 400 },
  { "H06 a space behind the size", chunked "5 \r\nhello\r\n0\r\n\r\n", 400 },
  { "H06 an empty size", chunked "\r\nhello\r\n0\r\n\r\n", 400 },
  { "H06 17 digits", chunked "10000000000000005\r\nhello\r\n0\r\n\r\n", 400, 413 },
  { "H06 -5", chunked "-5\r\nhello\r\n0\r\n\r\n", 400 },
  { "H07 data without CRLF", chunked "5\r\nhello0\r\n\r\n", 400 },
  { "H07 a bare LF behind the size", chunked "5\nhello\r\n0\r\n\r\n", 400 },
  { "H07 junk behind the last chunk", chunked "0\r\nXY\r\n\r\n", 400 },
  { "H08 CR in an extension", chunked "5;a=\rb\r\nhello\r\n0\r\n\r\n", 400 },
  { "H08 LF in an extension", chunked "5;a=\nb\r\nhello\r\n0\r\n\r\n", 400 },
  { "H08 NUL in an extension", chunked "5;a=\0b\r\nhello\r\n0\r\n\r\n", 400 },
  { "H08 64 KiB of extension", chunked("5;a=" .. ("x"):rep(65536) .. "\r\nhello\r\n0\r\n\r\n"), 400 },
  { "H08 5 KB of extensions over many chunks", chunked(("1;abcdefg=x\r\nx\r\n"):rep(500) .. "0\r\n\r\n"), 400 },
  { "H09 5 KB of trailers", chunked("0\r\n" .. ("A: bcdef\r\n"):rep(700) .. "\r\n"), 400 },
  { "H10 no Host", "GET /health HTTP/1.1\r\n\r\n", 400 },
  { "H10 two Hosts", "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
  { "H10 the same Host twice", "GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400 },
  { "H10 a Host with a path", "GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
  { "H10 a Host with a user", "GET /health HTTP/1.1\r\nHost: a@b\r\n\r\n", 400 },
  { "H10 a Host of two", "GET /health HTTP/1.1\r\nHost: a, b\r\n\r\n", 400 },
  { "H10 another host in the target", "GET http://b/health HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
  { "H11 a space before the colon", get "A : b\r\n", 400 },
  { "H11 folding", get "A: b\r\n c\r\n", 400 },
  { "H11 no colon", get "Abc\r\n", 400 },
  { "H11 an empty name", get ": b\r\n", 400 },
  { "H11 a leading space", "GET /health HTTP/1.1\r\n Host: a\r\n\r\n", 400 },
  { "H12 NUL in a value", get "A: b\0c\r\n", 400 },
  { "H12 NUL in a name", get "A\0: b\r\n", 400 },
  { "H12 a bare CR in a value", get "A: b\rc\r\n", 400 },
  { "H12 a control in a value", get "A: b\1c\r\n", 400 },
  { "H12 DEL in a value", get "A: b\127c\r\n", 400 },
  { "H13 bare LF", "GET /health HTTP/1.1\nHost: a\n\n", 400 },
  { "H13 a bare LF behind a header", "GET /health HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", 400 },
  { "H13 a bare LF as the empty line", "GET /health HTTP/1.1\r\nHost: a\r\n\n", 400 },
  { "H13 CR only", "GET /health HTTP/1.1\rHost: a\r\r", 400, 505 },
  { "H14 HTTP/0.9", "GET /health\r\n", 400, 505 },
  { "H14 HTTP/2.0", "GET /health HTTP/2.0\r\nHost: a\r\n\r\n", 400, 505 },
  { "H14 HTTP/1.2", "GET /health HTTP/1.2\r\nHost: a\r\n\r\n", 400, 505 },
  { "H14 HTTP/1.10", "GET /health HTTP/1.10\r\nHost: a\r\n\r\n", 400, 505 },
  { "H14 lower case", "GET /health http/1.1\r\nHost: a\r\n\r\n", 400, 505 },
  { "H14 a method in lower case", "get /health HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
  { "H14 two spaces", "GET  /health HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
  { "H14 a tab", "GET\t/health HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
  { "H14 binary junk", "\1\2\3\255\254\r\n\r\n", 400, 0 },
  { "H14 a TLS hello", "\22\3\1\2\0\1\0\1\252\3\3" .. ("\0"):rep(64), 400, 0 },
  { "H14 HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505 },
  { "H15 a fragment in the target", "GET /health#a HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
  { "H15 %00", "GET /a%00b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400 },
  { "H15 overlong UTF-8", "GET /%c0%af HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400, 404 },
  { "H15 a bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400 },
  { "H15 a backslash", "GET /public\\..\\config.lua HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400, 404 },
  { "H15 .. escaped", "GET /public/%2e%2e/config.lua HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400, 404 },
  { "H15 .. escaped twice", "GET /public/%252e%252e/config.lua HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400, 404 },
  { "H15 / escaped", "GET /public/..%2fconfig.lua HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400, 404 },
  { "H15 above the root", "GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400, 404 },
  { "H17 an unknown Expect", post("Expect: 200-ok\r\nContent-Length: 5\r\n", "hello"), 417, 400 },
  { "H19 behind Connection: close", get "Connection: close\r\n", 200 },
  { "L01 a long request line", "GET /" .. ("a"):rep(9000) .. " HTTP/1.1\r\nHost: a\r\n\r\n", 414 },
  { "L02 a long header", get("A: " .. ("b"):rep(17000) .. "\r\n"), 431 },
  { "L02 101 headers", get(("A: b\r\n"):rep(100)), 431 },
  { "L03 a length over the cap", post("Content-Length: 99999999\r\n", ""), 413 },
  { "L03 the same, with Expect", post("Expect: 100-continue\r\nContent-Length: 99999999\r\n", ""), 413 },
  { "J12 a token of 20 KiB", get("Authorization: Bearer " .. ("a"):rep(20000) .. "\r\n"), 431 },
  { "CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400, 405, 501 },
}


--- Sends `data` in pieces whose sizes `next_size` tells, as long as somebody takes them.
---@param c table of host.test.wire
---@param data string
---@param next_size fun(): integer
function refused.send(c, data, next_size)
  local at = 1
  while at <= #data and not c.ended do
    local n = next_size()
    c:post(data:sub(at, at + n - 1))
    at = at + n
    wait.turn(function() return c:unsent() == 0 or c.ended end, 5)
  end
end

refused.get, refused.post, refused.chunked = get, post, chunked

return refused
