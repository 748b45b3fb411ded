// clients/c behind the methods of clients/js, by its driver (spec/support/client_driver.c): so the
// same transcripts are played against both. One process for each client.
import { spawn } from "node:child_process";
import { dirname, resolve } from "node:path";
import { createInterface } from "node:readline";

const root = new URL("../..", import.meta.url).pathname;
export const driver = resolve(root, dirname(process.env.SPEC_BIN ?? "build-asan/lunacast"), "client_driver");

export class CClient {
  state = "connecting";
  onerror = () => {};
  ongap = () => {};
  #process;
  #auth;
  #given = null;
  #handler = () => {};
  #onpresence = () => {};
  #pictures = new Map();
  #asked = [];

  constructor(url, { name, session, auth, login, seal, delay, opening }) {
    const options = Object.entries({ name, session, tokens: auth && 1, seal, delay, opening })
      .filter(([, value]) => value !== undefined).map(([key, value]) => `${key}=${value}`);
    this.#auth = auth;
    this.#process = spawn(driver, [url, ...options], { stdio: ["pipe", "pipe", "inherit"] });
    this.ended = new Promise((done) => this.#process.on("exit", done));
    createInterface({ input: this.#process.stdout }).on("line", (line) => this.#told(...line.split("\t")));
    if (login) this.#say("login", ...login);
    this.#say("connect");
  }

  #say(...parts) {
    this.#process.stdin.write(parts.map((part) => part ?? "-").join("\t") + "\n");
  }

  #told(what, ...parts) {
    if (what === "state") this.state = parts[0];
    else if (what === "message") this.#handler(JSON.parse(parts[2]));
    else if (what === "picture") this.#shown(...parts);
    else if (what === "gap") this.ongap({ topic: parts[0] });
    else if (what === "presence") this.#onpresence({ type: "state", ...this.#event(parts[0]) });
    else if (what === "answer") this.#asked.shift()(JSON.parse(parts[1]));
    else if (what === "wanted") this.#answer();
    else if (what === "error") this.onerror({ code: parts[0] });
    else this.onerror({ code: parts[1] }); // a call that failed: no transcript has one
  }

  // Who is there is told as a whole at first, and has no type then.
  #event(text) {
    const { members, count, ...event } = JSON.parse(text);
    return event.type === "presence" ? {} : event;
  }

  async #answer() {
    try {
      if (this.#given !== null) this.#auth.expire(); // the one before is not wanted any more
      this.#given = await this.#auth.getToken();
      this.#say("token", this.#given, Math.floor(this.#auth.refreshIn / 1000));
    } catch (error) {
      this.onerror(error);
    }
  }

  subscribe(topic, handler, { session, since, history, resume, presence, onpresence }) {
    this.#handler = handler;
    if (presence) this.#onpresence = onpresence;
    this.#say("subscribe", topic, session, since, history, resume ? "resume" : null,
      presence ? "presence" : null);
  }

  unsubscribe(topic, handler, { session } = {}) {
    this.#say("unsubscribe", topic, session);
  }

  #shown(path, code, svg) {
    const missing = code !== "-";
    this.#pictures.get(path)(missing ? null : svg, missing ? { code } : null);
  }

  watch(path, handler) {
    this.#pictures.set(path, handler);
    this.#say("watch", path);
  }

  unwatch(path) {
    this.#say("unwatch", path);
  }

  publish(topic, payload, { session } = {}) {
    this.#say("publish", topic, session, JSON.stringify(payload));
  }

  setData(data) {
    this.#say("data", JSON.stringify(data));
  }

  presence(topic, { session } = {}) {
    this.#say("presence", topic, session);
    return new Promise((done) => this.#asked.push(done));
  }

  history(topic, { session, since, limit } = {}) {
    this.#say("history", topic, session, since, limit);
    return new Promise((done) => this.#asked.push(done));
  }

  close() {
    if (this.#process.stdin.writable) this.#process.stdin.end("close\nquit\n");
  }
}
