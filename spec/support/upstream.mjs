// An upstream that does as it is told and writes down what it got. A request's header X-Answer holds
// the bytes to answer with, as base64 (several pieces, joined by commas, leave 30 ms apart), and
// X-Then what happens next: keep (default), close, reset, hang.
//   node spec/support/upstream.mjs [port or unix socket]
// Ready line: "upstream ready on PORT". GET /records gives what came, [{ connection, raw }], and
// /left what came and is no whole request, /forget empties both; GET /ended is the number of
// connections that are over, without those that asked for one of these four. /big-head answers with a
// head of 1 MiB.
import net from "node:net";

const records = [];
const open = new Map(); // connection -> what came of it and is no whole request yet
let connections = 0;
const ours = new Set(); // connections that asked for what is known here
let ended = 0;

function bodyEnd(text, from) {
  const head = text.slice(0, from).toLowerCase();
  const length = /\r\ncontent-length: *(\d+)/.exec(head);
  if (length) return from + Number(length[1]) <= text.length ? from + Number(length[1]) : -1;
  if (!/\r\ntransfer-encoding: *chunked/.test(head)) return from;
  const end = text.indexOf("0\r\n\r\n", from);
  return end < 0 ? -1 : end + 5;
}

function header(raw, name) {
  const found = new RegExp(`\\r\\n${name}: *([^\\r\\n]*)`, "i").exec(raw);
  return found ? found[1] : undefined;
}

function json(value) {
  const body = JSON.stringify(value);
  return `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

function then(socket, what) {
  if (what === "close") socket.end();
  else if (what === "reset") socket.resetAndDestroy();
}

function answer(socket, raw) {
  const given = header(raw, "x-answer");
  if (given === undefined) {
    socket.write(json({ echo: raw }));
    return;
  }
  const pieces = given.split(",");
  const next = () => {
    const piece = pieces.shift();
    if (piece !== undefined && !socket.destroyed) {
      socket.write(Buffer.from(piece, "base64"));
      setTimeout(next, 30);
    } else {
      then(socket, header(raw, "x-then"));
    }
  };
  next();
}

function take(socket, number, raw) {
  const target = raw.split(" ")[1];
  if (["/records", "/left", "/ended", "/forget"].includes(target)) ours.add(number);
  if (target === "/records") {
    socket.write(json(records));
  } else if (target === "/left") {
    socket.write(json([...open.values()].filter((left) => left !== "")));
  } else if (target === "/ended") {
    socket.write(json(ended));
  } else if (target === "/big-head") {
    records.push({ connection: number, raw });
    socket.write(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(1 << 20)}\r\n\r\n`);
  } else if (target === "/forget") {
    records.length = 0;
    open.clear();
    socket.write(json(true));
  } else {
    records.push({ connection: number, raw });
    if (header(raw, "x-then") !== "hang") answer(socket, raw);
  }
}

const server = net.createServer((socket) => {
  const number = ++connections;
  let text = "";
  socket.on("error", () => {});
  socket.on("close", () => {
    if (!ours.delete(number)) ended++;
  });
  socket.on("data", (data) => {
    text += data.toString("latin1");
    for (;;) {
      const at = text.indexOf("\r\n\r\n");
      const end = at < 0 ? -1 : bodyEnd(text, at + 4);
      open.set(number, text);
      if (end < 0) return;
      const raw = text.slice(0, end);
      text = text.slice(end);
      open.set(number, text);
      take(socket, number, raw);
    }
  });
});

const where = process.argv[2] ?? "0";
const port = /^\d+$/.test(where);
server.listen(port ? { host: "127.0.0.1", port: Number(where) } : where, () => {
  console.log(`upstream ready on ${port ? server.address().port : where}`);
});
