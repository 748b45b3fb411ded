// Streams through the gateway as Chromium sees them: EventSource, and fetch that streams the answer
// to a POST; and what it sees when the upstream dies in the middle.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { folder, launch, startServer } from "./support.mjs";

let browser, server, page, upstream;
const seen = []; // what the upstream was asked
let streams = []; // answers that are open

function stream(req, res) {
  seen.push({ method: req.method, url: req.url, lastId: req.headers["last-event-id"] });
  res.writeHead(200, { "content-type": "text/event-stream" });
  res.flushHeaders();
  streams.push(res);
}

before(async () => {
  upstream = http.createServer(stream);
  await new Promise((done) => upstream.listen(0, "127.0.0.1", done));
  const data = folder();
  writeFileSync(join(data, "config.lua"),
    `return { gateway = { { prefix = "/feed", upstream = "http://127.0.0.1:${upstream.address().port}" } } }`);
  [browser, server] = await Promise.all([launch(), startServer({ data })]);
  page = await browser.newPage();
  await page.goto(server.url + "/health");
});

after(async () => {
  await browser.close();
  upstream.closeAllConnections();
  upstream.close();
  await server.stop();
});

async function till(what, condition) {
  for (let i = 0; i < 6000; i++) {
    if (await condition()) return;
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error(`waited in vain for ${what}`);
}

async function opened(n) {
  await till(`stream ${n}`, () => streams.length >= n);
  return streams[n - 1];
}

describe("EventSource through the gateway", () => {
  it("gets events one by one, and comes back with the last id when the upstream dies", async () => {
    streams = [];
    seen.length = 0;
    await page.evaluate(() => {
      window.got = [];
      window.source = new EventSource("/feed/events");
      window.source.onmessage = (e) => window.got.push(e.data);
    });
    const first = await opened(1);
    for (let i = 1; i <= 3; i++) {
      first.write(`${i === 1 ? "retry: 50\n" : ""}id: ${i}\ndata: n${i}\n\n`);
      await till(`event ${i}`, async () => (await page.evaluate(() => window.got.length)) === i);
    }
    first.socket.resetAndDestroy();
    const second = await opened(2);
    assert.equal(seen[1].lastId, "3");
    second.write("id: 4\ndata: n4\n\n");
    await till("event 4", async () => (await page.evaluate(() => window.got.length)) === 4);
    await page.evaluate(() => window.source.close());
    await till("the upstream to be told", () => second.destroyed || second.closed);
    assert.deepEqual(await page.evaluate(() => window.got), ["n1", "n2", "n3", "n4"]);
  });
});

describe("fetch through the gateway", () => {
  const start = () => page.evaluate(() => {
    window.parts = [];
    window.end = undefined;
    (async () => {
      const res = await fetch("/feed/ask", { method: "POST", body: '{"prompt":"hi"}' });
      const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        window.parts.push(value);
      }
      window.end = "clean";
    })().catch((e) => (window.end = String(e)));
  });

  it("streams the answer to a POST", async () => {
    streams = [];
    await start();
    const res = await opened(1);
    for (let i = 1; i <= 3; i++) {
      res.write(`data: ${i}\n\n`);
      await till(`part ${i}`, async () => (await page.evaluate(() => window.parts.length)) === i);
    }
    res.end();
    await till("the end", () => page.evaluate(() => window.end));
    assert.equal(await page.evaluate(() => window.end), "clean");
    assert.equal(seen.at(-1).method, "POST");
  });

  it("sees a broken stream as broken", async () => {
    streams = [];
    await start();
    const res = await opened(1);
    res.write("data: 1\n\n");
    await till("part 1", async () => (await page.evaluate(() => window.parts.length)) === 1);
    res.socket.resetAndDestroy();
    await till("the end", () => page.evaluate(() => window.end));
    assert.match(await page.evaluate(() => window.end), /TypeError/);
  });
});
