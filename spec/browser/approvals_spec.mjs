// The page /approvals in Chromium: what waits appears by itself, and is decided by the keyboard.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { launch, startServer } from "./support.mjs";

const SECRET = "a secret of the landscape with enough bytes";
let browser, server;

function token(sub, tenant, role) {
  const now = Math.floor(Date.now() / 1000);
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${encode({ alg: "HS256", typ: "JWT" })}.${encode({ sub, tenant_id: tenant, role, iat: now, exp: now + 600 })}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

before(async () => {
  [browser, server] = await Promise.all([launch(), startServer({ set: { "identity.secret": SECRET, "identity.tenant": "home", "password.ln": 10 } })]);
});

after(async () => {
  await browser.close();
  await server.stop();
});

async function ask(message, more = {}, asker = token("bot", "acme")) {
  const answer = await fetch(`${server.url}/api/aura/hitl/requests`, {
    method: "POST",
    headers: { Authorization: `Bearer ${asker}`, "Content-Type": "application/json" },
    body: JSON.stringify({ sessionId: "s1", actionType: "send_email", message, context: { to: "<b>x</b>" }, ...more }),
  });
  assert.equal(answer.status, 201);
  return (await answer.json()).data.requestId;
}

async function status(id) {
  const answer = await fetch(`${server.url}/api/aura/hitl/requests/${id}`,
    { headers: { Authorization: `Bearer ${token("ann", "acme")}` } });
  return (await answer.json()).data;
}

function decide(how, id, name) {
  return fetch(`${server.url}/api/aura/hitl/${how}/${id}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token(name, "acme")}`, "Content-Type": "application/json",
      "X-User-ID": name, "X-Tenant-ID": "acme" },
    body: JSON.stringify({ userId: name }),
  });
}

async function open(who = token("ann", "acme", "approver")) {
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  page.complaints = [];
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && page.complaints.push(m.text()));
  page.on("pageerror", (error) => page.complaints.push(error.message));
  await page.goto(`${server.url}/approvals`);
  await page.locator('input[name="token"]').fill(who);
  await page.keyboard.press("Enter");
  return page;
}

const item = (page, text) => page.locator("#waiting li", { hasText: text });

describe("the page /approvals", () => {
  it("shows what waits and what comes, and is used by the keyboard alone", async () => {
    const first = await ask("Send the first mail?");
    const page = await open();
    await item(page, "first mail").waitFor();
    await new Promise((done) => setTimeout(done, 1100)); // the newest are first, by the second
    const second = await ask("Send the second mail?");
    await item(page, "second mail").waitFor();
    await page.keyboard.press("k");
    await page.keyboard.press("k");
    await page.locator("#detail h3", { hasText: "second mail" }).waitFor();
    await page.keyboard.press("a");
    await page.locator("#done li", { hasText: "approved by ann" }).waitFor();
    assert.equal((await status(second)).status, "approved");
    await page.locator("#detail h3", { hasText: "first mail" }).waitFor();
    await page.keyboard.press("r");
    await page.keyboard.type("too expensive");
    if (process.env.SHOT) await page.screenshot({ path: process.env.SHOT });
    await page.keyboard.press("Enter");
    await page.locator("#done li", { hasText: "rejected by ann" }).waitFor();
    assert.equal((await status(first)).reason, "too expensive");
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });

  it("puts a request into the page as text, whatever is in it", async () => {
    const page = await open();
    await ask('<img src=x onerror="document.title=1">Pay?');
    await item(page, "Pay?").click();
    assert.match(await page.locator("#detail pre").textContent(), /<b>x<\/b>/);
    assert.equal(await page.locator("#work img, #work b b, #detail pre b").count(), 0);
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });

  it("shows what another person has decided, and to each tenant its own only", async () => {
    const id = await ask("Delete it?");
    const page = await open(), other = await open(token("eve", "evil"));
    await item(page, "Delete it?").waitFor();
    await other.locator("#state.good").waitFor();
    assert.equal(await item(other, "Delete it?").count(), 0);
    await decide("reject", id, "bob");
    await page.locator("#done li", { hasText: "rejected by bob" }).waitFor();
    await Promise.all([page.context().close(), other.context().close()]);
  });

  it("puts no other request under the finger when somebody else decides the one that is looked at", async () => {
    const [next, mine] = [await ask("Sell the house?"), await ask("Water the plants?")];
    const page = await open();
    await item(page, "Water the plants?").click();
    await page.locator("#detail h3", { hasText: "Water the plants?" }).waitFor();
    await decide("reject", mine, "bob");
    await page.locator("#detail .rejected", { hasText: "rejected by bob" }).waitFor();
    await page.keyboard.press("a");
    await page.keyboard.press("ArrowDown");
    await page.locator("#approve").waitFor();
    assert.equal((await status(next)).status, "pending");
    assert.equal((await status(mine)).status, "rejected");
    assert.deepEqual(page.complaints, []);
    await decide("reject", next, "bob");
    await page.context().close();
  });

  it("takes this server's own tokens, whatever its tenant is called", async () => {
    const answer = await fetch(`${server.url}/api/auth/token`, { method: "POST",
      headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user_id: "olga", password: "pw of olga" }) });
    const own = (await answer.json()).token;
    const id = await ask("Feed the cat?", {}, own);
    const page = await open(own);
    await item(page, "Feed the cat?").click();
    await page.keyboard.press("a");
    await page.locator("#done li", { hasText: "approved by olga" }).waitFor();
    assert.equal(await item(page, "Feed the cat?").count(), 0, id);
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });

  it("says what is wrong with a token", async () => {
    const page = await open("rubbish");
    await page.locator("#state.bad").waitFor();
    await page.locator('input[name="token"]').fill(`${token("ann", "acme")}x`);
    await page.keyboard.press("Enter");
    await page.locator("#state.bad", { hasText: /^the token/ }).waitFor();
    await page.locator("#login").waitFor();
    await page.context().close();
  });
});
