// clients/c and servers that say what no server should: it tells an error, comes back, and nothing of
// it breaks (AddressSanitizer watches).
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { describe, it } from "node:test";
import { CClient } from "./c_client.mjs";
import { mailbox } from "./transcript.mjs";

const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

function accept(request) {
  const [, key] = /Sec-WebSocket-Key: (\S+)/.exec(request);
  return createHash("sha1").update(key + MAGIC).digest("base64");
}

function upgrade(request, more = "") {
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
    `Sec-WebSocket-Accept: ${accept(request)}\r\n${more}\r\n`;
}

function frame(text, first = 0x81) {
  const data = Buffer.from(text), n = data.length;
  const head = n < 126 ? [first, n] : [first, 126, n >> 8, n & 255];
  return Buffer.concat([Buffer.from(head), data]);
}

/** A server that answers each opening with what `say(request)` returns; then it ends, or stays. */
async function hostile(say, stays) {
  let come = 0, told;
  const again = new Promise((done) => (told = done));
  const server = createServer((socket) => {
    if (++come === 2) told();
    socket.on("error", () => {});
    socket.once("data", (request) => {
      for (const piece of [say(String(request))].flat()) socket.write(piece);
      if (!stays) socket.end();
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { server, again };
}

async function meet(say, stays, subscribed = () => {}, login = undefined) {
  const { server, again } = await hostile(say, stays), errors = mailbox();
  const client = new CClient(`ws://127.0.0.1:${server.address().port}/ws`, { name: "ann", login });
  client.onerror = ({ code }) => errors(code);
  client.subscribe("t", subscribed, { resume: true });
  return { errors, again, end: async () => {
    client.close();
    server.close();
    assert.equal(await client.ended, 0);
  } };
}

const OPENINGS = {
  "is no HTTP": () => "220 mail ready\r\n\r\n",
  "ends in the middle of its head": () => "HTTP/1.1 101 Switching",
  "accepts another key": () => upgrade("Sec-WebSocket-Key: other"),
  "has agreed on an extension that nobody offered": (request) =>
    upgrade(request, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
  "has a head without an end": () => "HTTP/1.1 200 OK\r\n" + "x: y\r\n".repeat(4000),
  "has no end of a body": () => "HTTP/1.1 500 No\r\nContent-Length: 99999999999999999999\r\n\r\nhalf",
};

const FRAMES = {
  "is masked": Buffer.from([0x81, 0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
  "has a reserved opcode": Buffer.from([0x83, 0]),
  "is text that is not UTF-8": Buffer.from([0x81, 1, 0xff]),
  "announces more than anybody has": Buffer.from([0x81, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255]),
  "closes with half a code": Buffer.from([0x88, 1, 3]),
};

const TEXTS = [
  "", "1", "[]", "{", "null", '"x"', "{}", '{"type":7}', '{"type":"subscribed"}', '{"error":1,"code":2}',
  '{"type":"subscribed","topic":"t","session_id":"s","channel":7,"position":9,"recovered":1}',
  '{"channel":7}', '{"channel":"pubsub:9999999:1:x","position":"a1:1","data":1}',
  '{"channel":"pubsub:0:0:t","position":"","data":[]}', '{"channel":"pubsub:0:0:t","gap":true,"lost":1e99}',
  '{"channel":"pubsub:0:0:t","position":"a1:99999999999999999999999","base64":"AA=="}',
  '{"channel":"pubsub:0:0:t","data":{"topic":null,"payload":{"a":[{}]}}}', '{"payload":1}',
  '{"type":"presence","topic":"t"}', '{"type":"history","topic":"\\ud83d\\ude00","items":1}',
  '{"type":"join","channel":"pubsub:0:0:t"}', '{"payload":1,"topic":7}', "[".repeat(600), '{"a":'.repeat(700),
];

describe("clients/c and an opening that", () => {
  for (const [what, say] of Object.entries(OPENINGS)) {
    it(what, async () => {
      const { errors, end } = await meet(say, false);
      assert.match(await errors.next("an error"), /^(connect|refused|lost)$/);
      await end();
    });
  }
});

describe("clients/c and a frame that", () => {
  for (const [what, bytes] of Object.entries(FRAMES)) {
    it(what, async () => {
      const { errors, end } = await meet((request) => [upgrade(request), bytes], true);
      assert.match(await errors.next("an error"), /^(protocol|too_large|bad_json)$/);
      await end();
    });
  }
});

const JSON_OF = (body, more = "") => () =>
  `HTTP/1.1 200 OK\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;

const TOKENS = {
  "is no HTTP": [() => "220 mail ready\r\n\r\n", "bad_answer"],
  "does not come": [() => [], "lost"],
  "ends in its head": [() => "HTTP/1.1 200 OK\r\nContent-", "lost"],
  "ends in its body": [() => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "lost"],
  "has no JSON": [JSON_OF("<html>"), "bad_answer"],
  "has no token": [JSON_OF('{"expires_in":3600}'), "bad_answer"],
  "has a token that is none": [JSON_OF('{"token":"a\\r\\nb","expires_in":3600}'), "bad_answer"],
  "has a number for a token": [JSON_OF('{"token":7,"expires_in":"x"}'), "bad_answer"],
  "has two lengths": [JSON_OF('{"token":"a.b.c"}', "Content-Length: 3\r\n"), "bad_answer"],
  "has a head without an end": [() => "HTTP/1.1 200 OK\r\n" + "x: y\r\n".repeat(20000), "bad_answer"],
  "leads elsewhere": [() => "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "bad_answer"],
  "is an error in words": [() => "HTTP/1.1 502 No\r\n\r\nnobody is there", "bad_answer"],
  "switches protocols": [() => "HTTP/1.1 101 No\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "bad_answer"],
};

describe("clients/c and a token whose answer", () => {
  for (const [what, [say, word]] of Object.entries(TOKENS)) {
    it(what, async () => {
      const { errors, again, end } = await meet(say, false, undefined, ["ann", "word"]);
      assert.equal(await errors.next("an error"), word);
      await again;
      await end();
    });
  }

  it("comes in chunks, after an announcement, opens with it", async () => {
    const answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
      '9\r\n{"token":\r\n8\r\n"a.b.c"}\r\n0\r\n\r\n';
    const asked = mailbox();
    const { end } = await meet((request) => {
      asked(request);
      return request.startsWith("POST") ? answer : upgrade(request);
    }, true, undefined, ["a\"nn", "word", "room"]);
    const post = await asked.next("a request");
    assert.match(post, /^POST \/auth\/token HTTP\/1.1\r\n/);
    assert.deepEqual(JSON.parse(post.split("\r\n\r\n")[1]),
      { username: 'a"nn', password: "word", session_id: "room" });
    assert.match(await asked.next("the opening"), /\r\nAuthorization: Bearer a\.b\.c\r\n/);
    await end();
  });
});

describe("clients/c", () => {
  it("lives on after messages that make no sense", async () => {
    let told;
    const last = new Promise((done) => (told = done));
    const sane = '{"channel":"pubsub:0:0:t","position":"b2:1","data":{"topic":"t","payload":"sane"}}';
    const frames = [...TEXTS, sane].map((text) => frame(text));
    const { end } = await meet((request) => [upgrade(request), ...frames], true,
      (message) => message?.payload === "sane" && told());
    await last;
    await end();
  });

  it("breaks at nothing that is random, and comes back", async () => {
    await Promise.all([0x81, 0x01, 0x82, 0x89, 0x88, 0x80, 0xc1, 0x8a].map(async (first) => {
      const noise = Buffer.from(Array.from({ length: 4000 }, () => Math.floor(Math.random() * 256)));
      noise[0] = first;
      const { again, end } = await meet((request) => [upgrade(request), noise], false);
      await again;
      await end();
    }));
  });
});
