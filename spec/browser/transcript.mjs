// Plays the server of a transcript (spec/protocol/README.md) against clients/js, or another library
// behind a class with the same methods.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { readFileSync, readdirSync } from "node:fs";
import WebSocket, { WebSocketServer } from "ws";
import { Auth, Client } from "../../clients/js/lunacast.mjs";

const FOLDER = new URL("../protocol/", import.meta.url);
const PATIENCE_MS = 60000;

export function transcripts() {
  return readdirSync(FOLDER).filter((name) => name.endsWith(".json"))
    .map((name) => ({ name, ...JSON.parse(readFileSync(new URL(name, FOLDER), "utf8")) }))
    .filter((play) => play.steps);
}

/** Items of a callback, to be awaited one by one. */
export function mailbox() {
  const come = [], wanted = [];
  const box = (item) => (wanted.length > 0 ? wanted.shift()(item) : come.push(item));
  box.next = (what = "an item") => (come.length > 0 ? Promise.resolve(come.shift())
    : new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error(`${what} did not come`)), PATIENCE_MS);
      wanted.push((item) => (clearTimeout(timer), done(item)));
    }));
  box.all = come;
  return box;
}

function fill(play, pattern) {
  if (pattern === "$now") return new Date().toISOString();
  if (pattern === "$any") return "anything";
  if (typeof pattern === "string" && pattern.startsWith("$")) {
    return (play.bound[pattern] ??= play.values?.[pattern] ?? pattern);
  }
  if (Array.isArray(pattern)) return pattern.map((part) => fill(play, part));
  if (pattern === null || typeof pattern !== "object") return pattern;
  return Object.fromEntries(Object.entries(pattern).filter(([name]) => name !== "...")
    .map(([name, part]) => [name, fill(play, part)]));
}

function fits(play, pattern, value) {
  if (pattern === "$any") return value !== undefined;
  if (pattern === "$now") return !Number.isNaN(Date.parse(value));
  if (typeof pattern === "string" && pattern.startsWith("$")) {
    return value === (play.bound[pattern] ??= value);
  }
  if (pattern === null || typeof pattern !== "object") return pattern === value;
  if (value === null || typeof value !== "object") return false;
  const names = new Set([...Object.keys(pattern), ...Object.keys(value)]);
  const open = names.delete("...");
  return [...names].every((name) => name in pattern ? fits(play, pattern[name], value[name]) : open);
}

function check(play, pattern, text) {
  if (typeof pattern === "string") return assert.equal(text, pattern);
  const head = pattern.command ? pattern.command + ":" : "";
  assert.ok(text.startsWith(head) && fits(play, pattern.json, JSON.parse(text.slice(head.length))),
    `the client said ${text}, not ${head}${JSON.stringify(pattern.json)}`);
}

async function listen(play) {
  const sockets = mailbox();
  const http = createServer((request, response) => {
    response.writeHead(play.answer.status, { "Content-Type": "application/json" });
    response.end(JSON.stringify(fill(play, play.answer.json)));
  });
  const server = new WebSocketServer({ server: http });
  server.on("connection", (socket) => {
    socket.box = mailbox();
    socket.on("message", (data) => socket.box(String(data)));
    sockets(socket);
  });
  await new Promise((done) => http.listen(0, "127.0.0.1", done));
  const { port } = http.address();
  return { sockets, port, stop: () => (server.close(), http.close(), http.closeAllConnections()) };
}

class Actor {
  constructor(play, host, library, options = {}) {
    Object.assign(this, { play, host, library, options, told: {} });
    for (const what of ["message", "error", "gap", "presence", "picture", "result"]) this.told[what] = mailbox();
    if (options.token) this.auth = new Auth(`http://127.0.0.1:${host.port}`);
    this.handler = (message) => this.told.message(message);
  }

  start() {
    const { name, session } = this.options;
    const client = new this.library(`ws://127.0.0.1:${this.host.port}/ws`,
      { name, session, WebSocket, auth: this.auth });
    client.onerror = (error) => this.told.error(error.code);
    client.ongap = (gap) => this.told.gap(gap);
    this.client = client;
  }

  async connect() {
    if (!this.client) this.start();
    this.socket = await this.host.sockets.next("a connection");
  }

  async does([verb, ...args]) {
    const { client } = this;
    if (verb === "connect") return this.connect();
    if (verb === "login") return this.auth.login(...args).catch((error) => this.told.error(error.code));
    const onpresence = (event) => this.told.presence(event);
    const onpicture = (svg, error) => this.told.picture(svg ?? error.code);
    if (verb === "subscribe") return client.subscribe(args[0], this.handler, { ...args[1], onpresence });
    if (verb === "watch") return client.watch(args[0], onpicture);
    if (verb === "unsubscribe") return client.unsubscribe(args[0], undefined, args[1]);
    const filled = fill(this.play, args);
    const result = client[verb](...filled);
    if (result instanceof Promise) {
      result.then((answer) => this.told.result(answer), (error) => this.told.error(error.code));
    }
  }

  async hears(texts) {
    for (const text of texts) {
      this.socket.send(typeof text === "string" ? text : JSON.stringify(fill(this.play, text.json)));
    }
  }

  async tells([what, ...items]) {
    if (what === "state") {
      const until = Date.now() + PATIENCE_MS;
      while (this.client.state !== items[0] && Date.now() < until) await new Promise((f) => setTimeout(f, 5));
      return assert.equal(this.client.state, items[0]);
    }
    for (const item of items.length > 0 ? items : ["$any"]) {
      const got = await this.told[what].next(what);
      assert.ok(fits(this.play, item, got), `the client told ${JSON.stringify(got)}`);
    }
  }
}

async function step(play, host, library, actors, now) {
  const actor = (actors[now.on] ??= new Actor(play, host, library, play.clients[now.on]));
  if (now.answer) play.answer = now.answer;
  if (now.does) await actor.does(now.does);
  for (const said of now.says ?? []) check(play, said, await actor.socket.box.next(JSON.stringify(said)));
  if (now.hears) await actor.hears(now.hears);
  if (now.closes) actor.socket.close(now.closes);
  if (now.drops) actor.socket.terminate();
  if (now.tells) await actor.tells(now.tells);
}

/** Plays it; rejects, naming the step, where the client does something else. */
export async function run(transcript, library = Client) {
  const play = { ...transcript, bound: {} };
  const host = await listen(play);
  const actors = {};
  try {
    for (const [i, now] of play.steps.entries()) {
      await step(play, host, library, actors, now).catch((error) => {
        throw new Error(`step ${i + 1}, ${JSON.stringify(now)}: ${error.message}`, { cause: error });
      });
    }
    for (const [name, actor] of Object.entries(actors)) {
      assert.deepEqual(actor.socket?.box.all ?? [], [], `${name} said more`);
      for (const [what, box] of Object.entries(actor.told)) {
        assert.deepEqual(box.all, [], `${name} told more (${what})`);
      }
    }
  } finally {
    for (const actor of Object.values(actors)) actor.client?.close();
    host.stop();
  }
}
