// permessage-deflate with other people's WebSockets: Chromium and the package ws.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { launch, startServer } from "./support.mjs";

const TEXT = "the same words again and again, é and 😀; ".repeat(60);
let browser, server;

before(async () => {
  [browser, server] = await Promise.all([launch(), startServer({ set: { "ws.deflate": true } })]);
});

after(async () => {
  await browser.close();
  await server.stop();
});

const address = () => server.url.replace("http", "ws") + "/ws";
const publication = (text) => "publish-json:" + JSON.stringify({ topic: "t", session_id: "s", payload: text });

describe("compression with the package ws", () => {
  for (const options of [true, { serverMaxWindowBits: 15 }, { serverMaxWindowBits: 10 },
    { clientMaxWindowBits: 9, threshold: 0 }, { serverNoContextTakeover: true, clientNoContextTakeover: true }]) {
    it(`goes both ways with ${JSON.stringify(options)}`, async () => {
      const socket = new WebSocket(address(), { perMessageDeflate: options });
      await once(socket, "open");
      assert.match(socket.extensions, /permessage-deflate/);
      socket.send("subscribe:t|s");
      for (const text of [TEXT, "short", TEXT.slice(7), ""]) {
        socket.send(publication(text));
        const [data] = await once(socket, "message");
        assert.equal(JSON.parse(data).payload, text);
      }
      socket.close();
      await once(socket, "close");
    });
  }
});

describe("compression with Chromium", () => {
  it("goes both ways, to it and to who has none", async () => {
    const plain = new WebSocket(address(), { perMessageDeflate: false });
    await once(plain, "open");
    plain.send("subscribe:t|s");
    const page = await browser.newPage();
    await page.goto(server.url + "/health");
    const heard = once(plain, "message");
    const result = await page.evaluate(([url, message]) => new Promise((done, fail) => {
      const socket = new WebSocket(url);
      socket.onopen = () => (socket.send("subscribe:t|s"), socket.send(message));
      socket.onmessage = (e) => (done({ extensions: socket.extensions, data: e.data }), socket.close());
      socket.onerror = () => fail(new Error("the socket failed"));
    }), [address(), publication(TEXT)]);
    assert.match(result.extensions, /permessage-deflate/);
    assert.equal(JSON.parse(result.data).payload, TEXT);
    assert.equal(JSON.parse((await heard)[0]).payload, TEXT);
    plain.close();
    await page.close();
  });
});
