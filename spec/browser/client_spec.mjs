// clients/js against the server: what was missed, who is there, what ends a connection.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Auth, Client } from "../../clients/js/lunacast.mjs";
import { folder, startServer } from "./support.mjs";
import { mailbox } from "./transcript.mjs";

const KEY = "a-key-of-the-specs-server-long-enough";
const application = folder();
let server;

before(async () => {
  writeFileSync(join(application, "config.lua"),
    'return { topics = { ["kept*"] = { history = { messages = 100 } } } }');
  server = await startServer({ data: application, set: { "password.ln": 10, "server.key": KEY } });
});
after(() => server.stop());

const sockets = [];
class Kept extends WebSocket {
  constructor(...args) {
    super(...args);
    sockets.push(this);
  }
}
// As the network would do it.
const cut = () => sockets.splice(0).forEach((socket) => socket.terminate());

function open(options) {
  const client = new Client(server.url.replace("http", "ws") + "/ws", { WebSocket: Kept, ...options });
  for (const name of ["error", "gap", "state"]) client["on" + name] = client[name + "s"] = mailbox();
  client.box = mailbox();
  return client;
}

async function reaches(client, state) {
  while (client.state !== state) await client.states.next(state);
}

// Until all that the client has said was handled.
async function handled(client) {
  client.publish("bad|topic", 0);
  while ((await client.errors.next()).code !== "bad_topic");
}

function ask(path, body) {
  return fetch(server.url + path, { method: "POST", body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", Authorization: "Bearer " + KEY } });
}

for (const seal of [false, true]) {
  describe(`a client that is cut off${seal ? ", on sealed connections" : ""}`, () => {
    it("gets each message once, in order", async () => {
      const [writer, reader] = [open({ session: "resume" + seal }), open({ session: "resume" + seal, seal })];
      reader.subscribe("kept", reader.box, { resume: true });
      await reaches(reader, "open");
      await handled(reader);
      const count = 60;
      for (let i = 0; i < count; i++) {
        writer.publish("kept", i);
        if (i % 20 === 10) {
          await handled(writer);
          const reading = sockets.splice(0);
          for (const socket of reading) socket.terminate();
          await reaches(writer, "open");
        }
        await new Promise((done) => setTimeout(done, 2));
      }
      for (let i = 0; i < count; i++) assert.equal((await reader.box.next(`message ${i}`)).payload, i);
      await handled(reader);
      assert.deepEqual(reader.box.all, []);
      assert.deepEqual(reader.gaps.all, []);
      for (const client of [writer, reader]) client.close();
    });
  });
}

describe("a subscription", () => {
  it("begins with what the topic has kept, or where an earlier run has ended", async () => {
    const writer = open({ session: "past" });
    for (let i = 1; i <= 5; i++) writer.publish("kept", i);
    await reaches(writer, "open");
    await handled(writer);
    const first = open({ session: "past" });
    const subscription = first.subscribe("kept", first.box, { history: 2 });
    assert.deepEqual([(await first.box.next()).payload, (await first.box.next()).payload], [4, 5]);
    const { items } = await first.history("kept", { limit: 3 });
    assert.deepEqual(items.map(({ data }) => data.payload), [1, 2, 3]);
    const { position } = subscription;
    first.close();
    writer.publish("kept", 6);
    const second = open({ session: "past" });
    second.subscribe("kept", second.box, { since: position });
    assert.equal((await second.box.next()).payload, 6);
    const lost = open({ session: "past" });
    lost.subscribe("kept", lost.box, { since: "ffff:1" });
    assert.equal((await lost.gaps.next()).topic, "kept");
    assert.equal((await lost.box.next()).payload, 6);
    for (const client of [writer, second, lost]) client.close();
  });

  it("can be one of all topics that begin alike", async () => {
    const client = open({ session: "patterns" });
    const news = client.subscribe("news.*", client.box);
    await reaches(client, "open");
    for (const topic of ["news.a", "old.b", "news.c", "news.a"]) client.publish(topic, topic);
    for (const topic of ["news.a", "news.c", "news.a"]) assert.equal((await client.box.next()).payload, topic);
    cut();
    await reaches(client, "open");
    assert.deepEqual(await client.gaps.next(), {});
    await handled(client);
    client.publish("news.d", 1);
    assert.equal((await client.box.next()).topic, "news.d");
    news.unsubscribe();
    client.publish("news.d", 2);
    await handled(client);
    assert.deepEqual(client.box.all, []);
    client.close();
  });

  it("knows who is there", async () => {
    const [ann, bob] = [open({ session: "here" }), open({ session: "here" })];
    const events = mailbox();
    ann.setData({ name: "Ann" });
    const subscription = ann.subscribe("t", ann.box, { presence: true, onpresence: (event) => events(event.type) });
    assert.equal(await events.next(), "state");
    assert.equal(await events.next(), "join");
    bob.setData({ name: "Bob" });
    bob.subscribe("t", bob.box, { presence: true });
    assert.equal(await events.next(), "join");
    assert.deepEqual(subscription.members.map(({ data }) => data.name), ["Ann", "Bob"]);
    assert.equal((await ann.presence("t")).count, 2);
    bob.close();
    assert.equal(await events.next(), "leave");
    assert.deepEqual(subscription.members.map(({ data }) => data.name), ["Ann"]);
    cut();
    await reaches(ann, "open");
    assert.equal(await events.next(), "state"); // present again
    assert.equal(await events.next(), "join");
    ann.close();
  });
});

describe("a connection that the server ends", () => {
  async function login(name) {
    const auth = new Auth(server.url);
    await auth.login(name, "pw");
    return auth;
  }

  it("stays away when it was kicked", async () => {
    const client = open({ auth: await login("kim") });
    await reaches(client, "open");
    assert.equal((await ask("/api/server/disconnect", { user: "kim" })).status, 200);
    assert.equal((await client.errors.next()).code, "kicked");
    await reaches(client, "closed");
    assert.throws(() => client.publish("t", 1), /closed/);
  });

  it("stays away, without its token, when its user was revoked", async () => {
    const auth = await login("rev");
    const client = open({ auth });
    await reaches(client, "open");
    assert.equal((await ask("/api/server/revoke", { user: "rev" })).status, 200);
    assert.equal((await client.errors.next()).code, "revoked");
    await reaches(client, "closed");
    assert.equal(auth.isAuthenticated(), false);
    assert.equal(await auth.getToken(), null);
  });
});

describe("Auth", () => {
  it("takes tokens from the application, one at a time", async () => {
    let asked = 0;
    const auth = new Auth(server.url, { source: async () => ({ token: "t" + ++asked, expires_in: 60 }) });
    assert.equal(auth.isAuthenticated(), false);
    assert.deepEqual(await Promise.all([auth.getToken(), auth.getToken()]), ["t1", "t1"]);
    assert.equal(auth.isAuthenticated(), true);
    assert.equal(await auth.refresh(), "t2");
    auth.expire();
    assert.equal(await auth.getToken(), "t3");
    auth.clearToken();
    assert.equal(await auth.getToken(), null);
    await assert.rejects(auth.refresh(), { code: "no_login" });
  });
});

describe("a client whose network is back", () => {
  it("does not wait any longer, and leaves nothing behind when it is closed", async () => {
    const listeners = new Set(), { random } = Math;
    Math.random = () => 1e6; // it would wait for days
    globalThis.addEventListener = (name, fn) => name === "online" && listeners.add(fn);
    globalThis.removeEventListener = (name, fn) => listeners.delete(fn);
    try {
      const client = open({ session: "online", transport: "ws" });
      await reaches(client, "open");
      cut();
      await reaches(client, "waiting");
      for (const fn of listeners) fn();
      await reaches(client, "open");
      client.close();
      await reaches(client, "closed");
      assert.equal(listeners.size, 0);
    } finally {
      Math.random = random;
      delete globalThis.addEventListener;
      delete globalThis.removeEventListener;
    }
  });
});
