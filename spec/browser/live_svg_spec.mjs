// <live-svg> in Chromium: many pictures over one connection, in place, and what happens without it.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { COLOURED, colourAt, createSession, launch, paint, startServer } from "./support.mjs";

let browser, server;

before(async () => {
  [browser, server] = await Promise.all([launch(), startServer()]);
});

after(async () => {
  await browser.close();
  await server.stop();
});

// A page of the server's origin with these elements in a grid of 50 by 50 pixels.
async function open(names, { at = server, before: script = "", html = "" } = {}) {
  const page = await (await browser.newContext()).newPage();
  page.sockets = [];
  page.requests = [];
  page.on("websocket", (socket) => page.sockets.push(socket));
  page.on("request", (request) => page.requests.push(new URL(request.url()).pathname));
  await page.addInitScript(script);
  await page.goto(at.url + "/health");
  await page.evaluate(async ([list, body]) => {
    document.body.replaceChildren();
    document.body.style.cssText = "margin:0;display:grid;grid-template-columns:repeat(10,50px)";
    document.body.innerHTML = body || list.map((name) =>
      `<live-svg src="/stream/${name}" alt="picture ${name}" style="width:50px;height:50px"></live-svg>`).join("");
    await import("/pubsub/live-svg.mjs");
  }, [names, html]);
  return page;
}

const middle = (i) => [(i % 10) * 50 + 25, Math.floor(i / 10) * 50 + 25];
const states = (page) => page.evaluate(() =>
  [...document.querySelectorAll("live-svg")].map((element) => element.state));
const settled = (page, state) => page.waitForFunction((wanted) =>
  [...document.querySelectorAll("live-svg")].every((element) => element.state === wanted), state,
{ timeout: 30000 });

describe("<live-svg>", () => {
  it("shows forty pictures over one connection, and each change in place", async () => {
    const names = Array.from({ length: 40 }, (_, i) => "many" + i);
    await Promise.all(names.map((name) => createSession(server, name, "red")));
    const page = await open(names);
    await settled(page, "live");
    for (const i of [0, 7, 39]) await colourAt(page, ...middle(i), "red");
    await Promise.all(names.map((name, i) => paint(server, name, i % 2 ? "lime" : "blue")));
    for (const i of [0, 1, 38, 39]) await colourAt(page, ...middle(i), i % 2 ? "lime" : "blue");
    assert.equal(page.sockets.length, 1);
    assert.deepEqual(page.requests.filter((path) => /^\/(stream|svg)\//.test(path)), []);
    await page.context().close();
  });

  it("follows its src, leaves with its element, and shares a picture", async () => {
    await createSession(server, "one", "red");
    await createSession(server, "two", "blue");
    const page = await open(["one", "one", "one"]);
    await settled(page, "live");
    for (const i of [0, 1, 2]) await colourAt(page, ...middle(i), "red");
    await page.evaluate(() => (document.querySelector("live-svg").src = "/stream/two"));
    await colourAt(page, ...middle(0), "blue");
    await colourAt(page, ...middle(1), "red");
    assert.equal(await page.locator("img[alt=\"picture one\"]").count(), 3);
    const closed = page.sockets[0].waitForEvent("close");
    await page.evaluate(() => document.body.replaceChildren());
    await closed;
    await page.context().close();
  });

  it("runs nothing that a picture brings along", async () => {
    const evil = '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100" onload="top.hit=1">' +
      '<rect width="100" height="100" fill="lime"/><script>top.hit=1;document.title="hit"</script>' +
      '<image href="/health?from=picture" width="9" height="9"/>' +
      '<foreignObject width="9" height="9"><img xmlns="http://www.w3.org/1999/xhtml" src="/health?from=html" ' +
      'onerror="top.hit=1"/></foreignObject></svg>';
    await server.send("POST", "/api/session", { session_id: "evil", template: evil });
    const page = await open(["evil"]);
    await settled(page, "live");
    await colourAt(page, 30, 30, "lime");
    await new Promise((done) => setTimeout(done, 300));
    assert.equal(await page.evaluate(() => window.hit), undefined);
    assert.equal(page.requests.filter((path) => path === "/health").length, 1);
    await page.context().close();
  });

  it("waits for a session that does not exist yet", async () => {
    const page = await open(["unborn"]);
    await settled(page, "ended");
    await createSession(server, "unborn", "lime");
    await settled(page, "live");
    await colourAt(page, ...middle(0), "lime");
    await page.context().close();
  });

  it("says when its session has ended, and shows the next one of that name", async () => {
    await createSession(server, "brief", "red");
    const page = await open(["brief"]);
    await settled(page, "live");
    await server.send("DELETE", "/api/session/brief");
    await settled(page, "ended");
    await createSession(server, "brief", "blue");
    await settled(page, "live");
    await colourAt(page, ...middle(0), "blue");
    await page.context().close();
  });

  it("comes back after the server was away", async () => {
    let other = await startServer();
    await createSession(other, "back", "red");
    const page = await open(["back"], { at: other });
    await settled(page, "live");
    await other.stop();
    await settled(page, "waiting");
    await colourAt(page, ...middle(0), "red"); // the last one stays on the screen
    other = await startServer({ data: other.data, port: other.port });
    await paint(other, "back", "blue");
    await colourAt(page, ...middle(0), "blue", 30000);
    await settled(page, "live");
    await page.context().close();
    await other.stop();
  });

  it("asks for its pictures where no WebSocket gets through", async () => {
    await createSession(server, "polled", "red");
    const page = await open(["polled"], {
      before: "window.WebSocket = class { constructor() { setTimeout(() => this.onclose({ code: 1006 })); } };",
    });
    await settled(page, "live");
    await colourAt(page, ...middle(0), "red");
    await paint(server, "polled", "blue");
    await colourAt(page, ...middle(0), "blue");
    await page.context().close();
  });

  it("shows what it holds until the first picture is there", async () => {
    const page = await open([], { html: '<live-svg src="/stream/held"><b>no picture yet</b></live-svg>' });
    await settled(page, "ended");
    assert.ok(await page.getByText("no picture yet").isVisible());
    await server.send("POST", "/api/session", { session_id: "held", template: COLOURED, args: { colour: "lime" } });
    await settled(page, "live");
    assert.equal(await page.getByText("no picture yet").count(), 0);
    assert.deepEqual(await states(page), ["live"]);
    await page.context().close();
  });
});
