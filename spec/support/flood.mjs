// An upstream that answers /N with N MiB, as fast as they are taken. GET /sent: bytes that were
// handed to the kernel for the present answer; -1 when its client has left.
import http from "node:http";

const piece = Buffer.alloc(1 << 16, "x");
let sent = 0;

const server = http.createServer((req, res) => {
  if (req.url === "/sent") {
    res.end(String(sent));
    return;
  }
  let left = Number(req.url.replace(/.*\//, "")) << 4;
  sent = 0;
  res.writeHead(200, { "content-length": String(left << 16) });
  res.on("close", () => {
    if (left > 0) sent = -1;
  });
  const next = () => {
    while (left > 0 && !res.destroyed) {
      left--;
      sent += piece.length;
      if (!res.write(piece)) {
        res.once("drain", next);
        return;
      }
    }
    res.end();
  };
  next();
});

server.listen(0, "127.0.0.1", () => console.log(`upstream ready on ${server.address().port}`));
