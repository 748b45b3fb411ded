// What browser specs share: a server of their own, Chromium, and the colour of a pixel.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { inflateSync } from "node:zlib";
import { chromium } from "playwright-core";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const binary = resolve(root, process.env.SPEC_BIN ?? "build-asan/lunacast");

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Chromium as Debian installs it; another one by the variable CHROMIUM. */
export function launch() {
  const path = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome"].find((p) => p && existsSync(p));
  return chromium.launch({ executablePath: path, args: FLAGS });
}

export function folder() {
  return mkdtempSync(join(tmpdir(), "lunacast-browser-"));
}

function environment() {
  const env = { ...process.env };
  for (const name of Object.keys(env)) {
    if (/^(LUNACAST_|JWT_|REDIS_URL$)/.test(name)) delete env[name];
  }
  return env;
}

/** Starts the binary; resolves when it accepts. `stop` asserts exit code 0. */
export async function startServer({ data = folder(), port = 0, set = {} } = {}) {
  const args = ["run", data, "--data", join(data, "data"), "--listen", `127.0.0.1:${port}`,
    "--workers", "2"];
  for (const [name, value] of Object.entries(set)) args.push("--set", `${name}=${value}`);
  const child = spawn(binary, args, { env: environment(), stdio: ["ignore", "pipe", "pipe"] });
  const server = { data, err: "" };
  const exit = once(child, "exit");
  child.stderr.on("data", (d) => (server.err += d));
  server.url = await new Promise((done, fail) => {
    let out = "";
    child.stdout.on("data", (d) => {
      out += d;
      const ready = out.match(/lunacast ready on (\S+)\n/);
      if (ready) done(ready[1]);
    });
    exit.then(() => fail(new Error(`the server did not start:\n${server.err}`)));
  });
  server.port = Number(new URL(server.url).port);
  server.stop = async () => {
    child.kill("SIGTERM");
    const [code] = await exit;
    if (code !== 0) throw new Error(`the server ended with code ${code}:\n${server.err}`);
  };
  server.send = async (method, path, body) => {
    const answer = await fetch(server.url + path, {
      method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  };
  return server;
}

/** A session whose picture is one colour. */
export const COLOURED =
  '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100" viewBox="0 0 100 100">' +
  '<rect width="100" height="100" fill="{{ colour }}"/></svg>';

export function createSession(server, id, colour) {
  return server.send("POST", "/api/session",
    { session_id: id, template: COLOURED, args: { colour } });
}

export function paint(server, id, colour) {
  return server.send("PUT", `/api/session/${id}`, { args: { colour } });
}

// A PNG of one pixel: the image data is a filter byte and the channels.
function pixelOf(png) {
  const data = [];
  for (let at = 8; at < png.length;) {
    const length = png.readUInt32BE(at);
    if (png.toString("latin1", at + 4, at + 8) === "IDAT") {
      data.push(png.subarray(at + 8, at + 8 + length));
    }
    at += length + 12;
  }
  return [...inflateSync(Buffer.concat(data)).subarray(1, 4)];
}

/** What is painted at (x, y): [red, green, blue]. */
export async function pixel(page, x, y) {
  return pixelOf(await page.screenshot({ clip: { x, y, width: 1, height: 1 } }));
}

export const COLOURS = { red: [255, 0, 0], lime: [0, 255, 0], blue: [0, 0, 255] };

/** Waits until (x, y) has the colour; resolves to the milliseconds that took. */
export async function colourAt(page, x, y, name, limit = 60000) {
  const began = performance.now();
  let seen;
  do {
    seen = await pixel(page, x, y);
    if (seen.every((v, i) => Math.abs(v - COLOURS[name][i]) < 3)) return performance.now() - began;
    await new Promise((done) => setTimeout(done, 10));
  } while (performance.now() - began < limit);
  throw new Error(`not ${name} after ${limit} ms, but ${seen}`);
}
