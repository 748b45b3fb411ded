// A template filter is saved while its picture is on the screen.
import assert from "node:assert/strict";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { colourAt, folder, launch, startServer } from "./support.mjs";

let browser, server;
const application = folder();

function saveFilter(text) {
  const file = join(application, "lua/filters/paint.lua");
  writeFileSync(file + ".new", text);
  renameSync(file + ".new", file);
}

before(async () => {
  mkdirSync(join(application, "lua/filters"), { recursive: true });
  saveFilter("return function() return 'red' end\n");
  [browser, server] = await Promise.all([
    launch(), startServer({ data: application, set: { rerender: true } }),
  ]);
});

after(async () => {
  await browser.close();
  await server.stop();
});

describe("a saved filter", () => {
  it("changes the picture on the screen, with no request from the page", async () => {
    await server.send("POST", "/api/session", {
      session_id: "painted", args: {},
      template: '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100">' +
        '<rect width="100" height="100" fill="{{ 1 | paint }}"/></svg>',
    });
    const page = await (await browser.newContext()).newPage();
    await page.goto(server.url + "/health");
    await page.evaluate(() => {
      document.body.style.margin = 0;
      document.body.innerHTML =
        '<img src="/stream/painted" width="100" height="100" style="display: block">';
    });
    await colourAt(page, 50, 50, "red");
    let requests = 0;
    page.on("request", () => requests++);
    saveFilter("return function() return 'blue' end\n");
    await colourAt(page, 50, 50, "blue");
    saveFilter("return function() error 'no paint' end\n");
    await new Promise((done) => setTimeout(done, 1000));
    await colourAt(page, 50, 50, "blue");
    saveFilter("return function() return 'lime' end\n");
    await colourAt(page, 50, 50, "lime");
    assert.equal(requests, 0);
  });
});
