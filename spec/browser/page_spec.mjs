// The page /pubsub in Chromium: by the keyboard, with encryption and auth, under its policy.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { launch, startServer } from "./support.mjs";

let browser, server;

before(async () => {
  [browser, server] = await Promise.all([launch(), startServer({ set: { "password.ln": 10 } })]);
});

after(async () => {
  await browser.close();
  await server.stop();
});

async function open() {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 860 } })).newPage();
  page.complaints = [];
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && page.complaints.push(m.text()));
  page.on("pageerror", (error) => page.complaints.push(error.message));
  await page.goto(server.url + "/pubsub");
  return page;
}

const opens = (page, text) => page.waitForFunction((wanted) =>
  document.querySelector("#summary").textContent === wanted, text);
const logged = (page, text) => page.locator("#messages li", { hasText: text }).first().waitFor();

describe("the page /pubsub", () => {
  it("is used by the keyboard alone", async () => {
    const page = await open();
    const { keyboard } = page;
    await keyboard.press("n");
    await keyboard.press("Control+A");
    await keyboard.type("kim");
    await keyboard.press("Enter");
    await opens(page, "1 of 1 open");
    await keyboard.press("Escape");
    await keyboard.press("s");
    await keyboard.press("Enter");
    await page.locator("#topics li", { hasText: "news" }).waitFor();
    await keyboard.press("Escape");
    await keyboard.press("p");
    await keyboard.press("Control+A");
    await keyboard.type('{"typed": [1, 2]}');
    await keyboard.press("Control+Enter");
    await logged(page, 'kim: {"typed":[1,2]}');
    await keyboard.press("Escape");
    await keyboard.press("n");
    await keyboard.press("Enter");
    await opens(page, "2 of 2 open");
    await keyboard.press("Escape");
    await keyboard.press("1");
    const focused = () => page.evaluate(() => document.activeElement.textContent);
    assert.match(await focused(), /^1 kim/);
    await keyboard.press("ArrowDown");
    assert.match(await focused(), /^2 kim/);
    assert.equal(await page.locator('[role="radio"][aria-checked="true"]').count(), 1);
    // Everything can be reached by Tab, and shows that it has the focus.
    const seen = new Set();
    for (let i = 0; i < 60; i++) {
      await keyboard.press("Tab");
      seen.add(await page.evaluate(() => {
        const e = document.activeElement;
        return e === document.body ? "" : e.id || e.name || e.textContent;
      }));
    }
    for (const name of ["username", "password", "seal", "transport", "token", "resume", "presence",
      "payload", "key", "generate", "wire", "pause", "filter", "empty", "messages"]) {
      assert.ok(seen.has(name), `Tab does not reach ${name}`);
    }
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });

  it("shows who one is, and what went wrong", async () => {
    const page = await open();
    const login = async (password) => {
      await page.fill("#auth [name=username]", "ann");
      await page.fill("#auth [name=password]", password);
      await page.press("#auth [name=password]", "Enter");
    };
    await login("right");
    await page.locator("#token", { hasText: "isAuthenticatedtruesubann" }).waitFor();
    await login("wrong");
    await logged(page, "wrong_password");
    await login("right");
    await page.click("#connect button.main");
    await opens(page, "1 of 1 open");
    await page.locator(".connection", { hasText: "token of ann" }).waitFor();
    await page.click("#refresh");
    await page.click("#clear");
    await page.locator("#token", { hasText: "isAuthenticatedfalse" }).waitFor();
    await page.fill("#publish [name=topic]", "bad|topic");
    await page.click("#publish button.main");
    await logged(page, "bad_topic");
    // The browser itself reports the 401.
    assert.deepEqual(page.complaints.filter((text) => !text.includes("401")), []);
    await page.context().close();
  });

  for (const curve of ["P-256", "X25519"]) {
    it(`seals a connection by ${curve}, and payloads from end to end`, async () => {
      const page = await open();
      await page.selectOption("#connect [name=seal]", curve);
      await page.check("#connect [name=trust]");
      await page.click("#connect button.main");
      await opens(page, "1 of 1 open");
      await page.locator(".badge", { hasText: "sealed" }).waitFor();
      await page.click("#subscribe button.main");
      await page.fill("#publish textarea", "the secret words");
      await page.click("#publish button.main");
      await logged(page, 'ann: "the secret words"');
      await page.click("#generate");
      await page.click("#publish button.main");
      await page.locator("#messages li.in", { hasText: "end to end" }).waitFor();
      await page.check("#wire");
      await page.locator("#messages li.raw.in").nth(2).waitFor();
      const wire = await page.locator("#messages li.raw .text").allTextContents();
      assert.ok(!wire.some((text) => text.includes("the secret words")));
      assert.ok(wire.slice(2).every((text) => /^sealed:\d+:[\w-]+$/.test(text)), wire.join("\n"));
      assert.deepEqual(page.complaints, []);
      await page.context().close();
    });
  }

  it("lets nothing in but its own files", async () => {
    const answer = await fetch(server.url + "/pubsub");
    const policy = answer.headers.get("content-security-policy");
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*/);
    assert.match(answer.headers.get("content-type"), /^text\/html/);
    for (const name of ["page.mjs", "lunacast.mjs", "seal.mjs"]) {
      const file = await fetch(`${server.url}/pubsub/${name}`);
      assert.equal(file.headers.get("content-type"), "text/javascript; charset=utf-8");
      const tag = file.headers.get("etag");
      const again = await fetch(`${server.url}/pubsub/${name}`, { headers: { "If-None-Match": tag } });
      assert.equal(again.status, 304);
    }
    for (const name of ["index.html", "package.json", "none.mjs", "lua"]) {
      assert.equal((await fetch(`${server.url}/pubsub/${name}`)).status, 404);
    }
    const page = await open();
    const ran = await page.evaluate(() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      return window.ran === true;
    });
    assert.equal(ran, false);
    await page.context().close();
  });

  it("shows a stranger's payload as text", async () => {
    const page = await open();
    await page.click("#connect button.main");
    await opens(page, "1 of 1 open");
    await page.click("#subscribe button.main");
    await page.fill("#publish textarea", '<img src=x onerror="document.title=1"><b>bold</b>');
    await page.click("#publish button.main");
    await logged(page, "<b>bold</b>");
    assert.equal(await page.locator("#messages b, #messages img").count(), 0);
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });
});
