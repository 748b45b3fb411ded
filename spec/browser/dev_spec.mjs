// Development mode in a browser: the page follows what is saved.
import assert from "node:assert/strict";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { folder, launch, startServer } from "./support.mjs";

let browser, server, page;
const application = folder();

function save(name, text) {
  const file = join(application, name);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file + ".new", text);
  renameSync(file + ".new", file);
}

const route = (policy) => `local web = require "web"
return { path = "/page", GET = function()
  return web.with(web.render("page.html", {}), { ["Content-Security-Policy"] = "${policy}" })
end }
`;

const html = (word) => `<!doctype html><title>x</title><body><h1>${word}</h1></body>`;

const heading = (word) => page.waitForFunction(
  (wanted) => document.querySelector("h1")?.textContent === wanted, word);

const overlay = () => page.evaluate(() =>
  document.querySelector("lunacast-error")?.shadowRoot.textContent ?? null);

before(async () => {
  save("lua/routes/page.lua", route("default-src 'none'"));
  save("templates/page.html", html("one"));
  [browser, server] = await Promise.all([
    launch(), startServer({ data: application, set: { dev: true } }),
  ]);
  page = await (await browser.newContext()).newPage();
  await page.goto(server.url + "/page");
});

after(async () => {
  await browser.close();
  await server.stop();
});

describe("a page in development", () => {
  it("is loaded again when its template is saved, under the strictest policy too", async () => {
    await heading("one");
    save("templates/page.html", html("two"));
    await heading("two");
    save("templates/page.html", html("three"));
    await heading("three");
  });

  it("shows what is wrong above itself, with place and source, until it is right", async () => {
    save("lua/routes/page.lua", "return {\n  path = = 1\n}\n");
    await page.waitForSelector("lunacast-error", { state: "attached" });
    const text = await overlay();
    assert.match(text, /unexpected symbol near '='/);
    assert.match(text, /lua\/routes\/page\.lua:2/);
    assert.match(text, /> {4}2 {4}path = = 1/);
    assert.equal(await page.evaluate(() => document.querySelector("h1").textContent), "three");
    save("lua/routes/page.lua", route("default-src 'self'"));
    save("templates/page.html", html("four"));
    await heading("four");
    assert.equal(await overlay(), null);
  });

  it("closes the overlay by key", async () => {
    save("templates/page.html", "{{ 1 | nosuch }}");
    await page.waitForSelector("lunacast-error", { state: "attached" });
    assert.match(await overlay(), /unknown filter 'nosuch'/);
    await page.keyboard.press("Escape");
    assert.equal(await overlay(), null);
    save("templates/page.html", html("five"));
    await heading("five");
  });

  it("comes back from an error of its handler", async () => {
    save("lua/routes/page.lua", 'return { path = "/page", GET = function() error "no luck" end }\n');
    await page.waitForFunction(() => document.body.textContent.includes("no luck"));
    save("lua/routes/page.lua", route("default-src 'self'"));
    await heading("five");
  });
});
