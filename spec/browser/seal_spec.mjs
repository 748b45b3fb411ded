// The encryption of clients/js: against the vectors of spec/protocol, and against the server.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Client } from "../../clients/js/lunacast.mjs";
import { Channel, KeyPair, SharedKey, decode, encode, greet } from "../../clients/js/seal.mjs";
import { launch, startServer } from "./support.mjs";
import { mailbox } from "./transcript.mjs";

const vectors = JSON.parse(readFileSync(new URL("../protocol/vectors.json", import.meta.url), "utf8"));
const hex = (text) => new Uint8Array(Buffer.from(text, "hex"));
const CONFIG = { "password.ln": 10 };
let server;

before(async () => {
  server = await startServer({ set: CONFIG });
});
after(() => server.stop());

const address = () => server.url.replace("http", "ws") + "/ws";

async function reaches(client, state) {
  const until = Date.now() + 60000;
  while (client.state !== state && Date.now() < until) await new Promise((done) => setTimeout(done, 5));
  assert.equal(client.state, state);
}

function open(options) {
  const client = new Client(address(), { WebSocket, ...options });
  client.box = mailbox();
  client.errors = mailbox();
  client.onerror = (error) => client.errors(error.code);
  return client;
}

describe("the vectors", () => {
  for (const v of vectors.connections) {
    it(`of a sealed connection by ${v.curve} hold on both sides`, async () => {
      const client = await Channel.from(hex(v.secret), hex(v.salt), "client", "server");
      const other = await Channel.from(hex(v.secret), hex(v.salt), "server", "client");
      for (const { text, sealed } of v.says) {
        assert.equal(await client.seal(text), sealed);
        assert.equal(await other.open(sealed), text);
        await assert.rejects(other.open(sealed), { code: "replay" });
      }
      for (const { text, sealed } of v.hears) assert.equal(await client.open(sealed), text);
    });
  }

  it("of sealed payloads hold", async () => {
    const key = new SharedKey(hex(vectors.payloads[0].key));
    for (const { topic, payload, sealed } of vectors.payloads) {
      assert.deepEqual(await key.open(topic, { sealed }), payload);
    }
  });
});

describe("a key pair", () => {
  for (const curve of ["P-256", "X25519"]) {
    it(`gives two clients one key, by ${curve}`, async () => {
      const [a, b] = [await KeyPair.generate(curve), await KeyPair.generate(curve)];
      const [one, other] = [await SharedKey.agree(a, b.publicKey), await SharedKey.agree(b, a.publicKey)];
      assert.equal(one.export(), other.export());
      await assert.rejects(SharedKey.agree(a, "AAAA"), { code: "bad_key" });
      await assert.rejects(SharedKey.agree(a, "???"), { code: "not_opened" });
    });
  }
});

describe("a shared key", () => {
  it("opens what was sealed for the topic, once, in order", async () => {
    const alice = SharedKey.generate(), bob = SharedKey.from(alice.export());
    const [first, second] = await Promise.all([alice.seal("t", { a: [1] }), alice.seal("t", null)]);
    assert.deepEqual(await bob.open("t", first), { a: [1] });
    assert.equal(await bob.open("t", second), null);
    await assert.rejects(bob.open("t", first), { code: "replay" });
    assert.deepEqual(await bob.open("t", first, "another subscription"), { a: [1] });
    await assert.rejects(bob.open("u", await alice.seal("t", 1)), { code: "not_opened" });
    await assert.rejects(SharedKey.generate().open("t", first), { code: "not_opened" });
    for (const payload of [1, null, "x", {}, { sealed: 1 }]) {
      await assert.rejects(bob.open("t", payload), { code: "not_sealed" });
    }
    for (const sealed of ["", "a.b.c", "x.1.AAAA", first.sealed + ".x", first.sealed.slice(0, -2)]) {
      await assert.rejects(bob.open("v", { sealed }), { code: "not_opened" });
    }
    assert.throws(() => new SharedKey(new Uint8Array(31)), /32 bytes/);
  });

  it("never uses a nonce twice, however many are at it", async () => {
    const key = SharedKey.generate();
    const all = await Promise.all(Array.from({ length: 200 }, () => key.seal("t", "same")));
    assert.equal(new Set(all.map(({ sealed }) => sealed.split(".")[1])).size, 200);
    assert.equal(new Set(all.map(({ sealed }) => sealed.split(".")[2])).size, 200);
  });
});

describe("clients/js on a sealed connection", () => {
  for (const curve of ["P-256", "X25519"]) {
    it(`talks by ${curve} beside one in the clear`, async () => {
      const seen = [];
      class Seen extends WebSocket {
        send(text) {
          seen.push(text);
          super.send(text);
        }
      }
      const sealed = open({ name: "ann", session: curve, seal: { curve }, WebSocket: Seen });
      const plain = open({ name: "bob", session: curve });
      sealed.subscribe("t", sealed.box);
      plain.subscribe("t", plain.box);
      await Promise.all([reaches(sealed, "open"), reaches(plain, "open")]);
      assert.equal(typeof sealed.sealed, "string");
      assert.equal(plain.sealed, null);
      // An answer shows that the subscription is there.
      for (const c of [sealed, plain]) {
        c.publish("bad|topic", 1);
        assert.equal(await c.errors.next(), "bad_topic");
      }
      for (let i = 0; i < 50; i++) sealed.publish("t", { i, secret: "words" });
      for (const c of [sealed, plain]) {
        for (let i = 0; i < 50; i++) assert.equal((await c.box.next()).payload.i, i);
      }
      assert.match(seen[0], /^hello-json:/);
      assert.ok(seen.slice(1).every((text) => text.startsWith("sealed:")));
      sealed.publish("t", "last");
      sealed.close(); // what was published before goes out first
      assert.equal((await plain.box.next()).payload, "last");
      plain.close();
    });
  }

  it("trusts only a server that can prove its key", async () => {
    const trust = await (await fetch(server.url + "/.well-known/jwks.json")).json();
    const good = open({ seal: { trust } });
    await reaches(good, "open");
    good.close();
    const [key] = trust.keys;
    const other = { keys: [{ ...key, n: key.n.slice(0, -2) + (key.n.endsWith("AQ") ? "Aw" : "AQ") }] };
    for (const wrong of [other, { keys: [] }]) {
      const bad = open({ seal: { trust: wrong } });
      assert.equal(await bad.errors.next(), "untrusted");
      bad.close();
    }
  });

  it("has new keys after it was away", async () => {
    let other = await startServer({ set: CONFIG });
    const client = new Client(other.url.replace("http", "ws") + "/ws", { WebSocket, seal: true, name: "kim" });
    const box = mailbox();
    client.subscribe("t", box);
    await reaches(client, "open");
    const before = client.sealed;
    await other.stop();
    await reaches(client, "waiting");
    client.publish("t", "kept");
    other = await startServer({ set: CONFIG, port: other.port, data: other.data });
    assert.equal((await box.next()).payload, "kept");
    assert.notEqual(client.sealed, before);
    client.close();
    await other.stop();
  });

  it("keeps the server out of payloads that are sealed from end to end", async () => {
    const key = SharedKey.generate();
    const [ann, bob, eve] = ["ann", "bob", "eve"].map((name) => open({ name, session: "e2e" }));
    ann.subscribe("t", ann.box, { key });
    bob.subscribe("t", bob.box, { key: SharedKey.from(key.export()) });
    eve.subscribe("t", eve.box);
    for (const c of [ann, bob, eve]) {
      await reaches(c, "open");
      c.publish("bad|topic", 1);
      await c.errors.next();
    }
    for (let i = 0; i < 20; i++) ann.publish("t", { i }, { key });
    for (let i = 0; i < 20; i++) {
      assert.deepEqual((await bob.box.next()).payload, { i });
      assert.deepEqual((await ann.box.next()).payload, { i });
      assert.match((await eve.box.next()).payload.sealed, /^[\w-]{22}\.\d+\.[\w-]+$/);
    }
    eve.publish("t", "in the clear");
    assert.equal(await bob.errors.next(), "not_sealed");
    assert.equal(bob.box.all.length, 0);
    for (const c of [ann, bob, eve]) c.close();
  });

  it("works in a browser", async () => {
    const browser = await launch();
    const page = await (await browser.newContext()).newPage();
    await page.goto(server.url + "/health");
    const got = await page.evaluate(async (to) => {
      const { connect } = await import("/pubsub/lunacast.mjs");
      const { SharedKey } = await import("/pubsub/seal.mjs");
      const key = SharedKey.generate();
      const answers = [];
      for (const curve of ["P-256", "X25519"]) {
        const client = connect(to, { seal: { curve }, session: "browser" + curve });
        answers.push(await new Promise((done) => {
          client.subscribe("t", (message) => (client.close(), done(message.payload)), { key });
          client.publish("t", { curve }, { key });
        }));
      }
      return answers;
    }, address());
    assert.deepEqual(got, [{ curve: "P-256" }, { curve: "X25519" }]);
    await browser.close();
  });
});

describe("base64url", () => {
  it("is what the server takes and gives", async () => {
    for (const n of [0, 1, 2, 3, 65, 10000]) {
      const bytes = new Uint8Array(n).map((_, i) => i * 7);
      assert.deepEqual(decode(encode(bytes)), bytes);
    }
    assert.throws(() => decode("a+b"), { code: "not_opened" });
    const { hello, finish } = await greet();
    assert.match(hello, /^hello-json:\{"key":"[\w-]{87}","curve":"P-256"\}$/);
    await assert.rejects(finish({ key: "AAAA", connection: "x" }), { code: "bad_key" });
  });
});
