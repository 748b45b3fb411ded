// A Node server as people write them, for specs of the proxy.
import http from "node:http";

const server = http.createServer((req, res) => {
  if (req.url === "/early") { // answers before it has read the body
    res.writeHead(413, { connection: "close" });
    res.end("too much");
  } else if (req.url === "/hints") {
    res.writeEarlyHints({ link: "</a.css>; rel=preload" });
    res.end("hinted");
  } else if (req.url === "/trailers") {
    res.writeHead(200, { trailer: "X-Sum" });
    res.write("body");
    res.addTrailers({ "X-Sum": "1" });
    res.end();
  } else {
    const parts = [];
    req.on("data", (data) => parts.push(data));
    req.on("end", () => {
      const body = Buffer.concat(parts);
      res.setHeader("content-type", "application/json");
      res.end(JSON.stringify({ method: req.method, url: req.url, size: body.length,
        agent: req.headers["user-agent"] }));
    });
  }
});

server.keepAliveTimeout = 600000; // who keeps a connection decides when it ends

server.on("upgrade", (req, socket) => { // an echo of bytes, WebSocket in name only
  socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello");
  socket.on("data", (data) => socket.write(data));
  socket.on("error", () => {});
  socket.on("end", () => socket.end());
});

server.listen(0, "127.0.0.1", () => console.log(`upstream ready on ${server.address().port}`));
