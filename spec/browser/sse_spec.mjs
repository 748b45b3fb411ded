// Server-sent events with other people's readers: Chromium's EventSource, the package eventsource,
// curl.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { EventSource } from "eventsource";
import { folder, launch, startServer } from "./support.mjs";

const ROUTES = `
local time = require "host.time"
local web = require "web"
return {
  { path = "/count", GET = function()
      return web.sse(function(send)
        for i = 1, 3 do send { id = tostring(i), event = "n", data = "line " .. i .. "\\nmore é" } end
      end, { retry = 0.05 })
    end },
  { path = "/answer", POST = function()
      return web.sse(function(send)
        for i = 1, 5 do send("t" .. i) time.sleep(0.1) end
      end, { resume = true })
    end },
  { path = "/page", GET = function() return web.html "<p>page" end },
}
`;
const TOPICS = `return { rules = { kept = { mode = "log", history = { messages = 50, age = 300 } } } }`;
let browser, server;

before(async () => {
  const data = folder();
  mkdirSync(join(data, "lua/routes"), { recursive: true });
  mkdirSync(join(data, "lua/topics"), { recursive: true });
  writeFileSync(join(data, "lua/routes/count.lua"), ROUTES);
  writeFileSync(join(data, "lua/topics/kept.lua"), TOPICS);
  [browser, server] = await Promise.all([launch(), startServer({ data })]);
});

after(async () => {
  await browser.close();
  await server.stop();
});

function publish(payload) {
  return fetch(server.url + "/publish", {
    method: "POST", body: JSON.stringify({ topic: "kept", session_id: "s", payload }),
  }).then((answer) => answer.json());
}

// Counts to three, comes back once, and is told to stay away. Runs here and in the page.
function count(Source, url) {
  return new Promise((done, fail) => {
    const seen = [], source = new Source(url);
    const timer = setTimeout(() => fail(new Error("it did not end: " + JSON.stringify(seen))), 15000);
    source.addEventListener("n", (e) => seen.push([e.lastEventId, e.data]));
    source.addEventListener("end", (e) => seen.push([e.lastEventId, e.data]));
    source.onerror = () => {
      if (source.readyState !== 2) return; // it will come back
      clearTimeout(timer);
      done(seen);
    };
  });
}

const COUNTED = [["1", "line 1\nmore é"], ["2", "line 2\nmore é"], ["3", "line 3\nmore é"],
  ["end-of-stream", '{"code":"ended"}']];

describe("EventSource in Chromium", () => {
  it("reads a handler's events to their end, and stays away", async () => {
    const page = await browser.newPage();
    await page.goto(server.url + "/page");
    assert.deepEqual(await page.evaluate(`(${count})(EventSource, "/count")`), COUNTED);
    await page.close();
  });

  it("comes back to where it was, over another connection", async () => {
    const page = await browser.newPage();
    await page.goto(server.url + "/page");
    await page.evaluate(() => new Promise((done) => {
      window.seen = [];
      window.source = new EventSource("/sse?topic=kept&session_id=s");
      source.onmessage = (e) => seen.push(JSON.parse(e.data).payload);
      source.onopen = () => (window.opened = (window.opened ?? 0) + 1, done());
    }));
    await publish("one");
    await page.waitForFunction(() => seen.length === 1);
    // the server ends the stream: the browser comes back by itself, with the position
    await server.stop();
    server = await startServer({ data: server.data, port: server.port });
    await page.waitForFunction(() => window.opened >= 2, undefined, { timeout: 20000 });
    await publish("two");
    await page.waitForFunction(() => seen.includes("two"));
    assert.equal(await page.evaluate(() => seen.filter((x) => x === "two").length), 1);
    await page.close();
  });
});

describe("the package eventsource", () => {
  it("reads a handler's events to their end, and stays away", async () => {
    assert.deepEqual(await count(EventSource, server.url + "/count"), COUNTED);
  });

  it("gets each message of a topic once, also those of a pause", async () => {
    const seen = [];
    let last, wake = () => {};
    function follow(more = "") {
      const source = new EventSource(server.url + "/sse?topic=kept&session_id=s" + more);
      source.onmessage = (e) => {
        last = e.lastEventId;
        seen.push(JSON.parse(e.data).payload);
        wake();
      };
      return source;
    }
    async function reach(n) {
      while (seen.length < n) await new Promise((done) => (wake = done));
    }
    let source = follow();
    await new Promise((done) => (source.onopen = done));
    const { position } = await publish("a");
    await reach(1);
    assert.equal(last, position);
    source.close();
    await publish("b");
    await publish("c");
    source = follow("&lastEventId=" + last);
    await reach(3);
    assert.deepEqual(seen, ["a", "b", "c"]);
    source.close();
  });
});

describe("curl", () => {
  // `till`: the line is lost when that has come.
  function curl(...args) {
    const { till } = typeof args.at(-1) === "object" ? args.pop() : {};
    const child = spawn("curl", ["-sSN", "--max-time", "60", ...args]);
    let text = "";
    child.stdout.on("data", (d) => {
      text += d;
      if (till && text.includes(till)) child.kill();
    });
    return once(child, "close").then(() => text);
  }

  it("asks by POST, loses the line, and gets the rest by GET", async () => {
    const begun = await curl("-D", "-", "-X", "POST", server.url + "/answer", { till: "data: t1\n" });
    const path = begun.match(/content-location: (\S+)/i)[1];
    const [, id] = begun.match(/id: (\S+)\ndata: t1\n/);
    const rest = await curl("-H", "Last-Event-ID: " + id, server.url + path);
    assert.match(rest, /data: t2\n\n.*data: t3\n\n.*data: t5\n\n.*event: end\n/s);
    assert.doesNotMatch(rest, /data: t1\n/);
    const end = rest.match(/id: (\S+)\nevent: end\n/)[1];
    const status = await curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "Last-Event-ID: " + end,
      server.url + path);
    assert.equal(status, "204");
  });
});
