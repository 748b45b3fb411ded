// clients/c on a sealed connection to a server that is played here, by the encryption of clients/js: it
// opens what is right, and gives up what is not (AddressSanitizer watches).
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { describe, it } from "node:test";
import { createInterface } from "node:readline";
import { WebSocketServer } from "ws";
import { Channel, KeyPair, SharedKey, decode } from "../../clients/js/seal.mjs";
import { CClient, driver } from "./c_client.mjs";
import { mailbox } from "./transcript.mjs";

const bytes = (text) => new TextEncoder().encode(text);

async function till(holds) {
  while (!holds()) await new Promise((done) => setTimeout(done, 5));
}

async function agree(hello) {
  const { key, curve } = JSON.parse(hello.slice("hello-json:".length));
  const pair = await KeyPair.generate(curve), raw = decode(key);
  const words = bytes(`lunacast sealed 1\0${curve}\0id\0`);
  const salt = await crypto.subtle.digest("SHA-256", new Uint8Array([...words, ...raw, ...pair.raw]));
  const channel = await Channel.from(await pair.secret(raw), new Uint8Array(salt), "server", "client");
  return [channel, { type: "hello", connection: "id", curve, key: pair.publicKey }];
}

/** A server, and a client that has connected to it: `socket` is the server's end. */
async function meet(options) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" }), sockets = mailbox();
  server.on("connection", (socket) => {
    socket.says = mailbox();
    socket.on("message", (data) => socket.says(String(data)));
    socket.on("close", (code) => socket.says(code));
    sockets(socket);
  });
  await new Promise((done) => server.on("listening", done));
  const client = new CClient(`ws://127.0.0.1:${server.address().port}/ws`,
    { name: "ann", seal: "P-256", delay: 20, ...options });
  const errors = mailbox(), messages = mailbox();
  client.onerror = ({ code }) => errors(code);
  client.subscribe("t", messages, {});
  return { sockets, errors, messages, client, end: async () => {
    client.close();
    assert.equal(await client.ended, 0);
    server.close();
  } };
}

async function sealed(socket) {
  const [channel, answer] = await agree(await socket.says.next("a hello"));
  socket.send(JSON.stringify(answer));
  assert.equal(await channel.open(await socket.says.next("a name")), "register-name:ann");
  assert.equal(await channel.open(await socket.says.next("a subscription")), "subscribe:t");
  return channel;
}

const message = (payload) => JSON.stringify({ topic: "t", payload });

const ANSWERS = {
  "has no key": [{ key: undefined }, "bad_key"],
  "has a key that is no text": [{ key: 7 }, "bad_key"],
  "has a key that is no base64url": [{ key: "???" }, "bad_key"],
  "has a key of another curve": [{ key: "AAAA" }, "bad_key"],
  "has a point that is not on the curve": [{ key: Buffer.alloc(65, 4).toString("base64url") }, "bad_key"],
  "names no connection": [{ connection: undefined }, "bad_key"],
  "is a message": [{ payload: 1 }, "not_sealed"],
  "is another one": [{ type: "subscribed" }, "not_sealed"],
  "is a refusal": [{ type: undefined, error: "no such command", code: "unknown_command" }, "unknown_command"],
};

const MESSAGES = {
  "in the clear": [async () => message(1), "not_sealed"],
  "of another key": [async () => "sealed:1:" + "A".repeat(40), "not_opened"],
  "without a number": [async () => "sealed::AAAA", "not_opened"],
  "that was changed": [async (channel) => (await channel.seal(message(1))).slice(0, -2) + "AA", "not_opened"],
  "after one that is missing": [async (channel) => (await channel.seal("1"), channel.seal("2")), "out_of_order"],
};

describe("clients/c and an answer to its hello that", () => {
  for (const [what, [change, code]] of Object.entries(ANSWERS)) {
    it(what, async () => {
      const { sockets, errors, end } = await meet();
      const socket = await sockets.next("a connection");
      const [, answer] = await agree(await socket.says.next("a hello"));
      socket.send(JSON.stringify({ ...answer, ...change }));
      assert.equal(await errors.next("an error"), code);
      assert.equal(await socket.says.next("the end"), 4400);
      await sealed(await sockets.next("another connection"));
      await end();
    });
  }

  it("is no JSON", async () => {
    const { sockets, errors, end } = await meet();
    (await sockets.next("a connection")).send("{");
    assert.equal(await errors.next("an error"), "bad_json");
    await end();
  });

  it("does not come", async () => {
    const { sockets, errors, end } = await meet({ opening: 1500 });
    const socket = await sockets.next("a connection");
    assert.match(await socket.says.next("a hello"), /^hello-json:/);
    assert.equal(await errors.next("an error"), "timeout");
    await end();
  });
});

describe("clients/c on a sealed connection", () => {
  it("says nothing in the clear but its hello, also what has waited and across a reconnect", async () => {
    const { sockets, client, end } = await meet();
    client.publish("t", "waited");
    const first = await sockets.next("a connection"), channel = await sealed(first);
    assert.match(await channel.open(await first.says.next("what has waited")), /^publish-json:.*"waited"/);
    await till(() => client.state === "open");
    first.terminate();
    await till(() => client.state !== "open"); // and it will not be before this spec has answered
    client.publish("t", "later");
    const second = await sockets.next("another connection"), other = await sealed(second);
    assert.match(await other.open(await second.says.next("what has waited")), /^publish-json:.*"later"/);
    await end();
  });
});

describe("clients/c and a message", () => {
  for (const [what, [make, code]] of Object.entries(MESSAGES)) {
    it(what, async () => {
      const { sockets, errors, messages, end } = await meet();
      const socket = await sockets.next("a connection");
      socket.send(await make(await sealed(socket)));
      assert.equal(await errors.next("an error"), code);
      assert.equal(await socket.says.next("the end"), 4400);
      const other = await sockets.next("another connection");
      other.send(await (await sealed(other)).seal(message("sane")));
      assert.equal((await messages.next("a message")).payload, "sane");
      assert.deepEqual(messages.all, []);
      await end();
    });
  }

  it("that comes again", async () => {
    const { sockets, errors, messages, end } = await meet();
    const socket = await sockets.next("a connection");
    const text = await (await sealed(socket)).seal(message(1));
    socket.send(text);
    socket.send(text);
    assert.equal((await messages.next("a message")).payload, 1);
    assert.equal(await errors.next("an error"), "replay");
    await end();
  });
});

/** A driver that does not connect: one line in, one line out. */
function local() {
  const process = spawn(driver, ["ws://127.0.0.1:1/ws"], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = mailbox();
  createInterface({ input: process.stdout }).on("line", (line) => lines(line.split("\t")));
  const ended = new Promise((done) => process.on("exit", done));
  return {
    ask(...parts) {
      process.stdin.write(parts.join("\t") + "\n");
      return lines.next(parts[0]);
    },
    async end() {
      process.stdin.end("quit\n");
      assert.equal(await ended, 0);
    },
  };
}

describe("clients/c and clients/js", () => {
  for (const curve of ["P-256", "X25519"]) {
    it(`agree on a key by ${curve}, and open what the other has sealed`, async () => {
      const c = local(), pair = await KeyPair.generate(curve);
      const [, publicKey] = await c.ask("pair", curve);
      const key = await SharedKey.agree(pair, publicKey);
      assert.deepEqual(await c.ask("agree", pair.publicKey), ["key", key.export()]);
      for (const payload of [1, "é", { a: [null] }]) {
        const [, sealed] = await c.ask("seal", "t", JSON.stringify(payload));
        assert.deepEqual(await key.open("t", JSON.parse(sealed)), payload);
        const ours = JSON.stringify(await key.seal("t", payload));
        assert.deepEqual(await c.ask("open", "t", ours), ["opened", "0", JSON.stringify(payload)]);
      }
      await c.end();
    });
  }
});
