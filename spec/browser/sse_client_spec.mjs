// clients/js where WebSockets are blocked: server-sent events and POST.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Auth, Client } from "../../clients/js/lunacast.mjs";
import { Events } from "../../clients/js/sse.mjs";
import { folder, launch, startServer } from "./support.mjs";
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

// The wires of a client by SSE are requests: those of the streams can be cut here.
const streams = new Set();
async function watched(url, options) {
  const answer = await fetch(url, options);
  if (!String(url).includes("/sse?")) return answer;
  const cut = new AbortController();
  streams.add(cut);
  const body = answer.body.pipeThrough(new TransformStream(), { signal: cut.signal });
  return { status: answer.status, headers: answer.headers, body, json: () => answer.json() };
}

function open(options) {
  const client = new Client(server.url.replace("http", "ws") + "/ws",
    { WebSocket, transport: "sse", fetch: watched, ...options });
  for (const name of ["error", "gap", "state"]) client["on" + name] = client[name + "s"] = mailbox();
  client.box = mailbox();
  return client;
}

async function reaches(client, state) {
  while (client.state !== state) await client.states.next(state);
}

// A stream has begun when what is published comes.
async function follows(client, topic, session) {
  const writer = open({ transport: "ws" });
  await reaches(writer, "open");
  const asking = setInterval(() => writer.publish(topic, "there?", { session }), 50);
  while ((await client.box.next(`the stream of ${topic}`)).topic !== topic);
  clearInterval(asking);
  writer.publish(topic, "there", { session });
  while ((await client.box.next()).payload !== "there");
  writer.close();
}

describe("clients/js by server-sent events", () => {
  it("publishes and hears, several topics on one stream", async () => {
    const client = open({ name: "ann", session: "room" });
    client.subscribe("a", client.box);
    await reaches(client, "open");
    assert.equal(client.transport, "sse");
    await follows(client, "a", "room");
    for (let i = 0; i < 20; i++) client.publish("a", { i });
    for (let i = 0; i < 20; i++) {
      const message = await client.box.next();
      assert.deepEqual([message.payload.i, message.publisher_name], [i, "ann"]);
    }
    client.subscribe("b", client.box);
    client.subscribe("c", client.box);
    await follows(client, "c", "room");
    for (const topic of ["a", "b", "c"]) {
      client.publish(topic, topic);
      assert.equal((await client.box.next()).payload, topic);
    }
    client.publish("bad|topic", 1);
    assert.equal((await client.errors.next()).code, "bad_topic");
    client.unsubscribe("a");
    client.unsubscribe("b");
    client.close();
    await reaches(client, "closed");
  });

  it("goes on where it was cut off", async () => {
    for (const topics of [["kept1"], ["kept2", "kept3"]]) {
      const [writer, reader] = [open({ session: "cut", transport: "ws" }), open({ session: "cut" })];
      for (const topic of topics) reader.subscribe(topic, reader.box, { resume: true });
      await reaches(reader, "open");
      for (const topic of topics) await follows(reader, topic, "cut");
      const sent = [];
      for (let i = 0; i < 30; i++) {
        if (i % 10 === 5) {
          for (const stream of streams) stream.abort();
          streams.clear();
        }
        for (const topic of topics) {
          writer.publish(topic, i);
          sent.push(topic + i);
        }
        await new Promise((done) => setTimeout(done, 10));
      }
      const got = [];
      while (got.length < sent.length) {
        const { topic, payload } = await reader.box.next(`message ${got.length}`);
        if (typeof payload === "number") got.push(topic + payload);
      }
      for (const topic of topics) {
        assert.deepEqual(got.filter((text) => text.startsWith(topic)), sent.filter((text) => text.startsWith(topic)));
      }
      assert.deepEqual(reader.gaps.all, []);
      for (const client of [writer, reader]) client.close();
    }
  });

  it("says where something may be missing when its topics change, and only there", async () => {
    const client = open({ session: "change" });
    client.subscribe("plain", client.box);
    await follows(client, "plain", "change");
    client.subscribe("kept7", client.box, { resume: true });
    await follows(client, "kept7", "change");
    const { topic, code } = await client.gaps.next("a gap");
    assert.deepEqual([topic, code], ["plain", "gap"]);
    client.unsubscribe("plain");
    client.subscribe("other", client.box);
    await follows(client, "other", "change");
    assert.deepEqual(client.gaps.all, []);
    client.close();
  });

  it("follows all topics that begin alike, alone and beside others", async () => {
    const client = open({ session: "alike" });
    const news = client.subscribe("news.*", client.box);
    await follows(client, "news.a", "alike");
    client.subscribe("kept8", client.box, { resume: true });
    await follows(client, "kept8", "alike");
    for (const topic of ["old.b", "news.c", "kept8"]) client.publish(topic, topic);
    assert.deepEqual([(await client.box.next()).topic, (await client.box.next()).topic], ["news.c", "kept8"]);
    news.unsubscribe();
    await follows(client, "kept8", "alike");
    client.publish("news.d", 1);
    client.publish("kept8", 2);
    assert.equal((await client.box.next()).topic, "kept8");
    assert.deepEqual(client.errors.all, []);
    client.close();
  });

  it("is present where it asks to be", async () => {
    const [watcher, reader] = [open({ session: "hall", transport: "ws" }), open({ session: "hall" })];
    const told = mailbox();
    for (const topic of ["there", "elsewhere"]) {
      watcher.subscribe(topic, watcher.box, { presence: true, onpresence: (event) => told({ topic, ...event }) });
      await told.next(`the state of ${topic}`);
      await told.next("the watcher itself");
    }
    reader.subscribe("elsewhere", reader.box);
    reader.subscribe("there", reader.box, { presence: true });
    const { topic, type } = await told.next("the reader");
    assert.deepEqual([topic, type], ["there", "join"]);
    reader.unsubscribe("there");
    const left = await told.next("the reader's leave");
    assert.deepEqual([left.topic, left.type], ["there", "leave"]);
    assert.equal((await watcher.presence("elsewhere")).count, 1);
    for (const client of [watcher, reader]) client.close();
  });

  it("is what a client falls back to", async () => {
    let tries = 0;
    class Blocked {
      constructor() {
        tries++;
        setTimeout(() => this.onclose({ code: 1006, reason: "" }), 5);
      }

      close() {}
    }
    const client = open({ transport: "auto", WebSocket: Blocked, session: "fall" });
    client.subscribe("t", client.box);
    await reaches(client, "open");
    assert.deepEqual([client.transport, tries], ["sse", 2]);
    await follows(client, "t", "fall");
    client.publish("t", "through");
    assert.equal((await client.box.next()).payload, "through");
    client.close();
  });

  it("ends as the server says", async () => {
    const auth = new Auth(server.url);
    await auth.login("kim", "pw", "mine");
    const client = open({ auth });
    client.subscribe("t", client.box);
    await reaches(client, "open");
    client.publish("t", 0);
    while (client.box.all.length === 0) {
      client.publish("t", 1);
      await new Promise((done) => setTimeout(done, 50));
    }
    const answer = await fetch(server.url + "/api/server/disconnect", { method: "POST",
      body: '{"user":"kim"}', headers: { "Content-Type": "application/json", Authorization: "Bearer " + KEY } });
    assert.equal(answer.status, 200);
    assert.equal((await client.errors.next()).code, "kicked");
    await reaches(client, "closed");
  });

  it("works in a browser", async () => {
    const browser = await launch();
    const page = await (await browser.newContext()).newPage();
    await page.goto(server.url + "/health");
    const got = await page.evaluate(async () => {
      const { connect } = await import("/pubsub/lunacast.mjs");
      const client = connect(location.origin.replace("http", "ws") + "/ws", { transport: "sse", session: "tab" });
      const asking = setInterval(() => client.publish("t", "by SSE"), 50);
      return new Promise((done) => client.subscribe("t", (message) => {
        clearInterval(asking);
        client.close();
        done(message.payload);
      }));
    });
    assert.equal(got, "by SSE");
    await browser.close();
  });
});

describe("the parser of events", () => {
  it("gives the same whatever the pieces are", () => {
    const text = ": hi\n\nretry: 1000\n\nid: a:1\ndata: one\n\nevent: gap\r\ndata: {\r\ndata:}\r\n\r\nid: a:2\n\ndata\n\n";
    const wanted = [{ id: "a:1", data: "one" }, { event: "gap", data: "{\n}" }, { id: "a:2", data: undefined },
      { data: "" }];
    for (let size = 1; size <= text.length; size++) {
      const got = [];
      const events = new Events((event) => got.push(event));
      for (let at = 0; at < text.length; at += size) events.take(text.slice(at, at + size));
      assert.deepEqual(got, wanted, `pieces of ${size}`);
    }
  });
});
