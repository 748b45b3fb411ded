// Publish/subscribe with other people's WebSockets (Chromium, the package ws) and with clients/js.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Auth, Client, connect } from "../../clients/js/lunacast.mjs";
import { launch, startServer } from "./support.mjs";
import { mailbox } from "./transcript.mjs";

const SET = { "password.ln": 10 };
let browser, server;

before(async () => {
  [browser, server] = await Promise.all([launch(), startServer({ set: SET })]);
});

after(async () => {
  await browser.close();
  await server.stop();
});

const address = (s = server) => s.url.replace("http", "ws") + "/ws";

// Until the client is in that state.
async function reaches(client, state) {
  while (client.state !== state) {
    await new Promise((done) => {
      const before = client.onstate;
      client.onstate = (s) => (client.onstate = before, before(s), done());
    });
  }
}

describe("the package ws", () => {
  async function open(options, protocols = []) {
    const socket = new WebSocket(address(), protocols, options);
    socket.box = mailbox();
    socket.on("message", (data) => socket.box(String(data)));
    await once(socket, "open");
    return socket;
  }

  it("subscribes, publishes, pings and closes", async () => {
    const socket = await open();
    socket.send("subscribe:t|ws");
    const text = '{"publisher_name":"n","topic":"t","payload":{"a":"é"},"timestamp":"x","session_id":"ws"}';
    socket.send("publish-json:" + text);
    assert.equal(await socket.box.next(), text);
    socket.ping("p");
    assert.equal(String((await once(socket, "pong"))[0]), "p");
    socket.send(`publish-json:{"topic":"t","session_id":"ws","payload":"${"x".repeat(60000)}"}`);
    assert.equal(JSON.parse(await socket.box.next()).payload.length, 60000);
    socket.close(3001, "done");
    assert.equal((await once(socket, "close"))[0], 3001);
  });

  it("gets 1009 for a message over the limit", async () => {
    const socket = await open();
    socket.send("x".repeat(70000));
    assert.equal((await once(socket, "close"))[0], 1009);
  });

  it("is refused with another site's origin", async () => {
    const socket = new WebSocket(address(), { origin: "https://evil.example" });
    const [error] = await once(socket, "error");
    assert.match(error.message, /403/);
  });
});

describe("Chromium's WebSocket", () => {
  it("opens from a page of the same host and not from another's", async () => {
    const page = await (await browser.newContext()).newPage();
    const opens = (url) => page.evaluate((to) => new Promise((done) => {
      const socket = new WebSocket(to);
      socket.onopen = () => done("open");
      socket.onclose = (event) => done(event.code);
    }), url);
    await page.goto(server.url + "/health");
    assert.equal(await opens(address()), "open");
    await page.goto(server.url.replace("127.0.0.1", "localhost") + "/health");
    assert.equal(await opens(address()), 1006);
    await page.context().close();
  });
});

describe("clients/js", () => {
  function client(options) {
    const c = connect(address(), { WebSocket, ...options });
    c.box = mailbox();
    c.errors = mailbox();
    c.onerror = c.errors;
    return c;
  }

  it("delivers inside a session and not across, among three clients", async () => {
    const [ann, bob, eve] = [client({ name: "ann", session: "room" }),
      client({ name: "bob", session: "room" }), client({ name: "eve", session: "hall" })];
    for (const c of [ann, bob, eve]) {
      c.subscribe("news", c.box);
      await reaches(c, "open");
      // An error comes back after the subscription was handled.
      c.publish("bad|topic", 1);
      assert.equal((await c.errors.next()).code, "bad_topic");
    }
    ann.publish("news", { n: [1, null, "é"] });
    for (const c of [ann, bob]) {
      const message = await c.box.next();
      assert.deepEqual([message.publisher_name, message.payload], ["ann", { n: [1, null, "é"] }]);
      assert.ok(!Number.isNaN(Date.parse(message.timestamp)));
    }
    eve.publish("news", "mine");
    assert.equal((await eve.box.next()).payload, "mine");
    eve.publish("news", "to the room", { session: "room" });
    assert.equal((await bob.box.next()).payload, "to the room");
    assert.equal(eve.box.all.length, 0);
    bob.unsubscribe("news");
    bob.publish("bad|topic", 1);
    await bob.errors.next();
    ann.publish("news", "last");
    assert.equal((await ann.box.next()).payload, "to the room");
    assert.equal((await ann.box.next()).payload, "last");
    assert.equal(bob.box.all.length, 0);
    for (const c of [ann, bob, eve]) {
      c.close();
      await reaches(c, "closed");
    }
  });

  it("uses, refreshes and clears a token", async () => {
    const brief = await startServer({ set: { ...SET, "pubsub.ttl": "10s", "token.leeway": 0 } });
    const auth = new Auth(brief.url);
    assert.equal(auth.isAuthenticated(), false);
    await auth.login("ann", "secret", "room");
    assert.equal(auth.isAuthenticated(), true);
    await assert.rejects(new Auth(brief.url).login("ann", "wrong"), { code: "wrong_password" });
    const c = new Client(address(brief), { WebSocket, auth });
    c.box = mailbox();
    const states = [];
    c.onstate = (state) => states.push(state);
    c.subscribe("t", c.box);
    await reaches(c, "open");
    await new Promise((done) => setTimeout(done, 12000)); // more than a token's life
    c.publish("t", 1);
    assert.equal((await c.box.next()).payload, 1);
    assert.deepEqual(states, ["open"]);
    c.close();
    auth.clearToken();
    assert.equal(auth.isAuthenticated(), false);
    assert.equal(await auth.getToken(), null);
    await brief.stop();
  });

  it("comes back after the server was away, subscribes again, and says that there is a gap", async () => {
    let other = await startServer({ set: SET });
    const c = new Client(address(other), { WebSocket, name: "ann" });
    c.box = mailbox();
    const gaps = mailbox();
    c.ongap = gaps;
    c.subscribe("t", c.box);
    await reaches(c, "open");
    await other.stop();
    await reaches(c, "waiting");
    c.publish("t", "kept");
    other = await startServer({ port: other.port, data: other.data, set: SET });
    await reaches(c, "open");
    await gaps.next();
    assert.equal((await c.box.next()).payload, "kept");
    c.close();
    await reaches(c, "closed");
    assert.throws(() => c.publish("t", 1), /closed/);
    await other.stop();
  });

  it("works in a browser", async () => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(server.url + "/health");
    const got = await page.evaluate(async (to) => {
      const { Auth, connect } = await import("/pubsub/lunacast.mjs");
      const auth = new Auth(location.href);
      await auth.login("browser-user", "secret", "tab");
      const client = connect(to, { auth });
      return new Promise((done) => {
        client.subscribe("t", (message) => (client.close(), done(message.payload)));
        client.publish("t", { from: "a tab" });
      });
    }, address());
    assert.deepEqual(got, { from: "a tab" });
    await page.context().close();
  });
});
