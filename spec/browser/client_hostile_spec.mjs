// clients/js where things are not as they should be: a server that says nonsense, tokens that are
// none, programs that close at the wrong moment. Against a WebSocket that the specs hold in hand.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Auth, Client } from "../../clients/js/lunacast.mjs";
import { mailbox } from "./transcript.mjs";

const sockets = [];
class Held {
  bufferedAmount = 0;
  readyState = 0;
  sent = [];

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    sockets.push(this);
    setImmediate(() => this.readyState === 0 && (this.readyState = 1, this.onopen()));
  }

  send(text) {
    this.sent.push(text);
  }

  say(body) {
    this.onmessage({ data: typeof body === "string" ? body : JSON.stringify(body) });
  }

  close(code = 1000, reason = "") {
    if (this.readyState === 3) return;
    this.readyState = 3;
    setImmediate(() => this.onclose({ code, reason }));
  }
}

async function open(options) {
  const client = new Client("ws://held/ws", { WebSocket: Held, transport: "ws", ...options });
  for (const name of ["error", "gap", "state"]) client["on" + name] = client[name + "s"] = mailbox();
  client.box = mailbox();
  while (client.state !== "open") await client.states.next();
  return [client, sockets.at(-1)];
}

async function ends(client) {
  client.close();
  while (client.state !== "closed") await client.states.next();
}

const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

describe("a client in JavaScript", () => {
  it("lives on after messages that make no sense, and says so", async () => {
    const [client, socket] = await open();
    client.subscribe("t", client.box, { presence: true });
    const begun = { type: "subscribed", topic: "t", session_id: "s", channel: "c", position: "a:1" };
    socket.say(begun);
    const nonsense = ["", "{", "null", "5", '"text"', { channel: "c", position: 7, data: 1 },
      { channel: "c", base64: "%" }, { type: "presence", channel: "c" }, { ...begun, presence: {} }];
    for (const text of nonsense) {
      socket.say({ channel: "c", position: "a:2", data: 0 }); // is new once
      socket.say(text);
      await client.errors.next(JSON.stringify(text));
      assert.deepEqual(client.errors.all, []);
    }
    for (const text of [[], {}, { type: "toString" }, { channel: 1 }, { type: 1, channel: {} }]) socket.say(text);
    assert.deepEqual(client.errors.all, []);
    assert.equal((await client.box.next()), 0);
    socket.say({ channel: "c", position: "a:4", data: "still there" });
    assert.equal(client.box.all.at(-1), "still there");
    await ends(client);
  });

  it("reports what its handlers raise, whichever they are", async () => {
    const [client, socket] = await open();
    const broken = () => { throw new Error("mine"); };
    client.ongap = broken;
    client.subscribe("t", broken, { presence: true, onpresence: broken });
    client.watch("/stream/a", broken);
    socket.say({ type: "watching", path: "/stream/a", channel: "p" });
    socket.say({ type: "subscribed", topic: "t", session_id: "s", channel: "c" });
    for (const body of [{ error: "lost", code: "gap" }, { channel: "c", data: 1 }, { channel: "p", data: "<svg/>" },
      { type: "join", channel: "c", connection: "x" }]) {
      socket.say(body);
      assert.equal((await client.errors.next(JSON.stringify(body))).message, "mine");
    }
    await ends(client);
  });

  it("leaves no timer behind of questions that were lost, nor takes one for another", async () => {
    const [client, socket] = await open();
    const before = timers();
    const lost = [client.presence("a"), client.history("a")];
    assert.equal(timers(), before + 2);
    socket.close(1001);
    for (const question of lost) await assert.rejects(question, { code: "closed" });
    while (client.state !== "open") await client.states.next();
    assert.equal(timers(), before);
    await ends(client);
    assert.equal(timers(), before);
  });

  it("gives a server up that takes its connection and says nothing", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    class Silent extends Held {
      constructor(...args) {
        super(...args);
        this.readyState = -1; // it never opens
      }
    }
    const client = new Client("ws://held/ws", { WebSocket: Silent, transport: "ws" });
    const errors = [];
    client.onerror = (error) => errors.push(error.code);
    await new Promise(setImmediate);
    const socket = sockets.at(-1);
    t.mock.timers.tick(9999);
    assert.deepEqual([client.state, errors], ["connecting", []]);
    t.mock.timers.tick(1);
    while (client.state !== "waiting") await new Promise(setImmediate);
    assert.deepEqual(errors, ["timeout"]);
    t.mock.timers.tick(500);
    while (sockets.at(-1) === socket) await new Promise(setImmediate);
    assert.equal(client.state, "connecting");
    client.close();
    while (client.state !== "closed") await new Promise(setImmediate);
  });

  it("gives no message to anybody once it is closed, and opens nothing", async () => {
    const [client, socket] = await open();
    client.subscribe("t", (message) => {
      client.box(message.payload);
      client.close();
    });
    socket.say({ topic: "t", payload: 1 });
    socket.say({ topic: "t", payload: 2 });
    while (client.state !== "closed") await client.states.next();
    assert.deepEqual(client.box.all, [1]);

    const count = sockets.length;
    let give;
    const auth = new Auth("http://held", { source: () => new Promise((done) => (give = done)) });
    const early = new Client("ws://held/ws", { WebSocket: Held, transport: "ws", auth });
    early.onerror = (error) => assert.fail(error);
    early.close();
    assert.equal(early.state, "closed");
    give({ token: "t", expires_in: 60 });
    await new Promise(setImmediate);
    assert.deepEqual([early.state, sockets.length], ["closed", count]);
  });

  it("holds a bounded number of bytes for a connection that takes none", async () => {
    const [client, socket] = await open();
    client.publish("t", 1);
    socket.bufferedAmount = 5 * 2 ** 20;
    assert.throws(() => client.publish("t", 2), /wait already/);
    socket.bufferedAmount = 0;
    client.publish("t", 3);
    assert.deepEqual(socket.sent.map((text) => JSON.parse(text.slice(text.indexOf(":") + 1)).payload), [1, 3]);
    await ends(client);
  });

  it("takes a URL as browsers do, and refuses what is none at once", async () => {
    for (const [url, whole] of [["ws://a/ws", "ws://a/ws"], ["http://a/ws", "ws://a/ws"], ["https://a", "wss://a/"]]) {
      const client = new Client(url, { WebSocket: Held, transport: "ws" });
      await new Promise(setImmediate);
      assert.equal(sockets.at(-1).url, whole);
      client.close();
    }
    for (const url of ["nonsense", "/ws", "ftp://a/ws", "mailto:a@b"]) {
      assert.throws(() => new Client(url, { WebSocket: Held }), TypeError, url);
    }
  });
});

describe("a token in JavaScript", () => {
  it("that lives for a moment does not keep everybody busy", async () => {
    let asked = 0;
    const auth = new Auth("http://held", { source: async () => ({ token: "t" + ++asked, expires_in: 1 }) });
    const [client, socket] = await open({ auth });
    const began = performance.now(), first = asked;
    while (asked < first + 3) await new Promise((done) => setTimeout(done, 20));
    assert.ok(performance.now() - began >= 1400, "three more tokens take three times half a second");
    assert.match(socket.sent.at(-1), /^refresh-token:t/);
    await ends(client);
  });

  it("that is none is an error, and nobody is authenticated by it", async () => {
    const answers = [{}, null, { token: "" }, { token: 5, expires_in: 5 }, { token: "t", expires_in: 0 },
      { token: "t", expires_in: "soon" }, { token: "t", expires_in: null }];
    for (const answer of answers) {
      const auth = new Auth("http://held", { source: async () => answer });
      await assert.rejects(auth.getToken(), JSON.stringify(answer));
      assert.equal(auth.isAuthenticated(), false);
    }
    const long = new Auth("http://held", { source: async () => ({ token: "t" }) });
    assert.equal(await long.getToken(), "t");
    assert.equal(await long.getToken(), "t");
    assert.equal(long.isAuthenticated(), true);
  });
});
