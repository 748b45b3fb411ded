// Live pictures as Chromium paints them.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { colourAt, createSession, launch, paint, pixel, startServer } from "./support.mjs";

let browser, server;

before(async () => {
  [browser, server] = await Promise.all([launch(), startServer()]);
});

after(async () => {
  await browser.close();
  await server.stop();
});

async function open(options) {
  return (await browser.newContext(options)).newPage();
}

// An <img> on the stream, in a page of the same origin, so that a canvas may read it.
async function openImage(id) {
  const page = await open();
  await page.goto(server.url + "/health");
  await page.evaluate((path) => {
    document.body.replaceChildren();
    document.body.style.margin = 0;
    const img = document.createElement("img");
    Object.assign(img, { src: path, width: 100, height: 100 });
    img.style.display = "block";
    document.body.append(img);
  }, `/stream/${id}`);
  return page;
}

// Sends the PUT from the page and waits, frame by frame, until the <img> shows the colour: sooner than
// a picture is repeated.
function paintAndWait(page, id, colour, rgb) {
  return page.evaluate(async ([path, name, wanted]) => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const img = document.querySelector("img");
    const began = performance.now();
    const sent = fetch(path, {
      method: "PUT",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ args: { colour: name } }),
    });
    for (;;) {
      await new Promise(requestAnimationFrame);
      canvas.drawImage(img, 0, 0, 4, 4);
      const seen = canvas.getImageData(1, 1, 1, 1).data;
      const waited = performance.now() - began;
      if (wanted.every((v, i) => Math.abs(v - seen[i]) < 3)) {
        await sent;
        return;
      }
      if (waited > 25000) throw new Error(`still ${[...seen]} after 25 s`);
    }
  }, [`/api/session/${id}`, colour, rgb]);
}

describe("an <img> on a stream", () => {
  it("shows the first picture without any update", async () => {
    await createSession(server, "first", "red");
    const page = await openImage("first");
    await colourAt(page, 50, 50, "red");
    await page.close();
  });

  it("shows each update, with no later one to push it out", async () => {
    await createSession(server, "img", "red");
    const page = await openImage("img");
    await colourAt(page, 50, 50, "red");
    for (const [colour, rgb] of [["lime", [0, 255, 0]], ["blue", [0, 0, 255]], ["red", [255, 0, 0]]]) {
      await paintAndWait(page, "img", colour, rgb);
      await colourAt(page, 50, 50, colour); // painted, not only decoded
    }
    await page.close();
  });
});

describe("an <img> in a page of another origin", () => {
  it("shows small pictures too, the first one and each update", async () => {
    await createSession(server, "foreign", "red");
    const page = await open();
    await page.goto(server.url.replace("127.0.0.1", "localhost") + "/health");
    await page.evaluate((src) => {
      document.body.style.margin = 0;
      document.body.innerHTML = `<img style="display:block" src="${src}">`;
    }, `${server.url}/stream/foreign`);
    await colourAt(page, 50, 50, "red");
    for (const colour of ["lime", "blue"]) {
      await paint(server, "foreign", colour);
      await colourAt(page, 50, 50, colour);
    }
    await page.close();
  });
});

describe("a tab on a stream", () => {
  it("shows the live picture through the viewer page", async () => {
    await createSession(server, "tab", "red");
    const page = await open();
    await page.goto(server.url + "/stream/tab", { waitUntil: "commit" });
    const size = page.viewportSize();
    const [x, y] = [size.width / 2, size.height / 2];
    await colourAt(page, x, y, "red");
    for (const colour of ["lime", "blue"]) {
      await paint(server, "tab", colour);
      await colourAt(page, x, y, colour);
    }
    await page.close();
  });

  it("works without JavaScript", async () => {
    await createSession(server, "plain", "red");
    const page = await open({ javaScriptEnabled: false });
    await page.goto(server.url + "/stream/plain", { waitUntil: "commit" });
    const size = page.viewportSize();
    await colourAt(page, size.width / 2, size.height / 2, "red");
    await paint(server, "plain", "blue");
    await colourAt(page, size.width / 2, size.height / 2, "blue");
    await page.close();
  });

  it("gets the bare stream with ?raw=1", async () => {
    await createSession(server, "raw", "red");
    const page = await open();
    await page.goto(server.url + "/stream/raw?raw=1", { waitUntil: "commit" }).catch(() => {});
    const size = page.viewportSize();
    await paint(server, "raw", "lime");
    // Where the tab puts a bare picture is the browser's choice: the corner or the middle.
    await Promise.any([colourAt(page, 20, 20, "lime"),
      colourAt(page, size.width / 2, size.height / 2, "lime")]);
    await page.close();
  });
});

describe("a stranger's picture in a tab", () => {
  it("runs no script", async () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100" ' +
      'onload="document.querySelector(\'rect\').setAttribute(\'fill\',\'red\')">' +
      '<rect width="100" height="100" fill="lime"/>' +
      "<script>document.querySelector('rect').setAttribute('fill','red')</script></svg>";
    await server.send("POST", "/api/session", { session_id: "evil", template: svg });
    const page = await open();
    await page.goto(server.url + "/svg/evil");
    await colourAt(page, 50, 50, "lime");
    await new Promise((done) => setTimeout(done, 300));
    assert.deepEqual(await pixel(page, 50, 50), [0, 255, 0]);
    await page.close();
  });
});

describe("a viewer", () => {
  it("comes back after the server was restarted, and shows the newest picture", async () => {
    let first = await startServer();
    await createSession(first, "back", "red");
    const page = await open();
    await page.goto(first.url + "/stream/back", { waitUntil: "commit" });
    const size = page.viewportSize();
    const [x, y] = [size.width / 2, size.height / 2];
    await colourAt(page, x, y, "red");
    await first.stop();
    first = await startServer({ data: first.data, port: first.port });
    await paint(first, "back", "blue");
    await colourAt(page, x, y, "blue", 30000);
    await paint(first, "back", "lime");
    await colourAt(page, x, y, "lime");
    await page.close();
    await first.stop();
  });
});

describe("the demo", () => {
  it("draws the server itself on the start page, and goes on drawing", async () => {
    const demo = await startServer({ set: { demo: "true" } });
    const page = await open();
    const errors = [];
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    await page.goto(demo.url + "/", { waitUntil: "commit" });
    const picture = page.locator("img").first();
    await picture.waitFor();
    const shots = new Set();
    for (let i = 0; i < 200 && shots.size < 4; i++) {
      shots.add((await picture.screenshot()).toString("base64"));
      await new Promise((done) => setTimeout(done, 250));
    }
    assert.ok(shots.size >= 4, "the picture does not change");
    assert.deepEqual(errors, []);
    await page.close();
    await demo.stop();
  });
});
