// The types of clients/js, and its package as npm would publish it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../../clients/js/", import.meta.url));
const tsc = fileURLToPath(new URL("node_modules/typescript/bin/tsc", import.meta.url));
const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

// An application that has the package installed.
function application(source) {
  const at = mkdtempSync(join(tmpdir(), "lunacast-types-"));
  mkdirSync(join(at, "node_modules"));
  cpSync(folder, join(at, "node_modules/lunacast"), { recursive: true });
  writeFileSync(join(at, "package.json"), '{"type":"module"}');
  writeFileSync(join(at, "app.ts"), source);
  return at;
}

function check(source, resolution = "nodenext") {
  const at = application(source);
  const module = resolution === "bundler" ? "esnext" : "nodenext";
  try {
    execFileSync(process.execPath, [tsc, "--strict", "--noEmit", "--skipDefaultLibCheck", "--target", "es2022", "--module", module,
      "--moduleResolution", resolution, "--lib", "es2022,dom", "app.ts"], { cwd: at, stdio: "pipe" });
    return "";
  } catch (error) {
    return String(error.stdout);
  }
}

const APP = `
import { Auth, Client, LunacastError, connect, type Message, type Subscription } from "lunacast";
import { KeyPair, SharedKey } from "lunacast/seal";
import "lunacast/live-svg";

const auth = new Auth("https://example.org");
const named: string | null = await auth.login("ann", "pw", "room");
const client: Client = connect("wss://example.org/ws", { name: "ann", auth, seal: { curve: "X25519" } });
client.onerror = (error) => error instanceof LunacastError && error.code?.length;
client.ongap = ({ topic, lost }) => console.log(topic?.length, lost);
const key = await SharedKey.agree(await KeyPair.generate(), "AAAA");
const news: Subscription = client.subscribe<{ n: number }>("news", (message, position) => {
  const n: number = message.payload.n;
  console.log(n, message.publisher_name, position?.length);
}, { resume: true, presence: true, key, onpresence: (event, members) => console.log(event.type, members[0]?.user) });
client.publish("news", { any: ["JSON", null] }, { key });
const items: Message[] = (await client.history("news", { limit: 5 })).items.map((item) => item.data);
const count: number = (await client.presence("news")).count;
client.setData({ typing: true });
const picture = document.createElement("live-svg");
picture.src = "/stream/a";
console.log(named, items.length, count, news.position, client.state === "open", client.sealed);
auth.clearToken();
client.close();
export {};
`;

describe("the types of clients/js", () => {
  for (const resolution of ["nodenext", "bundler"]) {
    it(`fit an application that uses everything (${resolution})`, () => {
      assert.equal(check(APP, resolution), "");
    });
  }

  it("refuse what is wrong", () => {
    const wrong = ['client.publish("t", () => 1)', 'client.subscribe("t")', 'client.state = "open"',
      'connect("x", { transport: "carrier pigeon" })', "client.close(1)"];
    const source = 'import { connect } from "lunacast";\nconst client = connect("wss://x");\n' + wrong.join(";\n");
    const lines = check(source).split("\n").filter((line) => line.includes("error TS"));
    assert.deepEqual(lines.map((line) => Number(line.match(/\((\d+),/)[1])), wrong.map((_, i) => i + 3));
  });

  it("name what the modules export", async () => {
    for (const [name, entry] of Object.entries(manifest.exports)) {
      if (!entry.types || name === "./live-svg") continue;
      const module = await import(join(folder, entry.default));
      const types = readFileSync(join(folder, entry.types), "utf8");
      for (const exported of Object.keys(module)) assert.match(types, new RegExp(`\\b${exported}\\b`));
    }
  });
});

describe("the package of clients/js", () => {
  it("holds what it exports, and what that imports", () => {
    const out = execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: folder, stdio: "pipe" });
    const names = JSON.parse(out)[0].files.map(({ path }) => path);
    for (const entry of Object.values(manifest.exports)) {
      for (const path of typeof entry === "string" ? [entry] : Object.values(entry)) {
        assert.ok(names.includes(path.slice(2)), path);
      }
    }
    for (const name of readdirSync(folder).filter((file) => file.endsWith(".mjs"))) {
      const source = readFileSync(join(folder, name), "utf8");
      for (const [, from] of source.matchAll(/(?:from|import\() ?"([^"]+)"/g)) {
        if (from === "lunacast") continue; // the example in a comment
        assert.ok(from.startsWith("./") && names.includes(from.slice(2)), `${name} imports ${from}`);
      }
    }
    assert.ok(names.includes("README.md"));
    assert.equal(manifest.dependencies, undefined);
  });
});
