/**
 * Publish/subscribe on lunacast, for browsers and Node, without dependencies.
 *
 *   import { connect } from "lunacast";
 *   const client = connect("wss://example.org/ws", { name: "ann" });
 *   client.subscribe("news", (message) => console.log(message.payload));
 *   client.publish("news", { any: "JSON" });
 *
 * The connection comes back by itself, after a random delay whose bound doubles, and subscribes
 * again: where the server keeps a history it goes on at the last position and nothing is missed;
 * where it does not, or no longer, `ongap` says so. Encryption (seal.mjs) and the transport for
 * networks that block WebSockets (sse.mjs) are loaded when they are needed.
 *
 *   connecting --ready--> open --lost--> waiting --delay--> connecting
 *   any --close(), revoked, kicked, a refused login--> closed, for good
 */

import { Auth, LunacastError } from "./auth.mjs";
import { isPublished, objectOf, placeOf } from "./message.mjs";
import { addressOf, openSocket } from "./socket.mjs";
import { Subscription, keyOf } from "./subscription.mjs";

export { Auth, LunacastError };

const WAITING_MAX = 1000;
const DELAY_MS = 500;
const DELAY_MAX_MS = 30000;
const BUSY_DELAY_MS = 5000; // at least so long, when the server says that it is too much
const OPEN_MS = 10000;
const ASK_MS = 10000;
const REFRESH_MIN_MS = 500; // whatever a token's life is
const BLOCKED_AFTER = 2; // openings in a row that never opened
const TIMER_MAX = 2 ** 31 - 1;

/** What the server's close codes mean for the next attempt. */
const CLOSES = {
  4401: { code: "expired", renew: true },
  4403: { code: "revoked", final: true },
  4409: { code: "kicked", final: true },
  1008: { code: "policy", slow: true },
  1009: { code: "too_large" },
  1013: { code: "overloaded", slow: true },
};

export class Client {
  onstate = () => {};
  onerror = () => {};
  ongap = () => {};

  state = "closed";
  /** "ws" or "sse": how it is connected, or was last. */
  transport = null;
  /** The id of a sealed connection; null: it is not sealed. */
  sealed = null;
  #url;
  #options;
  #wire = null;
  #subscriptions = new Map(); // "topic" or "topic|session" -> Subscription
  #pictures = new Map(); // path -> handler
  #channels = new Map(); // the server's word for a topic -> Subscription, or a picture's handler
  #waiting = []; // texts for the next connection
  #asked = []; // { type, topic, session, resolve, reject, timer }
  #attempts = 0;
  #blocked = 0;
  #opened = 0;
  #timer = null;
  #patient = false; // it waits because the server has asked for it
  #refresh = null;
  #data;
  #channel = null; // of a sealed connection
  #greeting = null;
  #outbox = null; // a promise while something is on its way out
  #inbox = Promise.resolve();
  #stopped = false;

  constructor(url, options = {}) {
    this.#url = addressOf(url);
    this.#options = { WebSocket: globalThis.WebSocket, transport: "auto", ...options };
    const { WebSocket, transport, seal } = this.#options;
    if (!WebSocket && (transport === "ws" || seal)) {
      throw new TypeError("no WebSocket here: pass options.WebSocket");
    }
    globalThis.addEventListener?.("online", this.#hurry);
    this.#open();
  }

  // Topics -------------------------------------------------------------------------------------

  subscribe(topic, handler, options = {}) {
    const key = keyOf(topic, options.session);
    let subscription = this.#subscriptions.get(key);
    if (!subscription) {
      subscription = new Subscription(this, topic, options);
      this.#subscriptions.set(key, subscription);
      if (this.state === "open") this.#wire.subscribe(subscription);
    }
    subscription.add(handler);
    return subscription;
  }

  /** Without a handler: all of them. */
  unsubscribe(topic, handler, { session } = {}) {
    const key = keyOf(topic, session);
    const subscription = this.#subscriptions.get(key);
    if (!subscription || !subscription.remove(handler)) return;
    this.#subscriptions.delete(key);
    this.#forget(subscription);
    if (this.state === "open") this.#wire.unsubscribe(subscription);
  }

  /** Sends, or keeps up to 1,000 messages until there is a connection. Throws when too much waits. */
  publish(topic, payload, { session, key } = {}) {
    const message = { topic, payload, timestamp: new Date().toISOString() };
    if (this.#options.name !== undefined) message.publisher_name = this.#options.name;
    if (session !== undefined) message.session_id = session;
    if (this.#stopped) throw new Error("this client is closed");
    if (this.state === "open" ? this.#wire.isFull() : this.#waiting.length >= WAITING_MAX) {
      throw new Error("too many messages wait already for a connection that takes them");
    }
    const text = async () => {
      if (key) message.payload = await key.seal(topic, payload);
      return "publish-json:" + JSON.stringify(message);
    };
    const ready = key ? text() : "publish-json:" + JSON.stringify(message);
    if (this.state === "open") this.#send(ready);
    else this.#waiting.push(ready);
  }

  /** Who is there. */
  presence(topic, { session } = {}) {
    return this.#ask("presence", topic, session);
  }

  /** What was published before. */
  history(topic, { session, since, limit } = {}) {
    return this.#ask("history", topic, session, { since, limit });
  }

  /** This client's data in the presence of its topics. */
  setData(data) {
    this.#data = data;
    if (this.state === "open") this.#send("set-data:" + JSON.stringify(data));
  }

  /**
   * Follows a live picture on this connection: its SVG, now and whenever it changes, or an error.
   * One handler for each path. Where it is connected by SSE it waits for a WebSocket.
   */
  watch(path, handler) {
    this.#pictures.set(path, handler);
    if (this.#carriesPictures()) this.#send("watch:" + path);
  }

  unwatch(path) {
    const handler = this.#pictures.get(path);
    if (!this.#pictures.delete(path)) return;
    this.#forget(handler);
    if (this.#carriesPictures()) this.#send("unwatch:" + path);
  }

  #carriesPictures() {
    return this.state === "open" && this.transport === "ws";
  }

  #forget(target) {
    for (const [channel, other] of this.#channels) {
      if (other === target) this.#channels.delete(channel);
    }
  }

  close() {
    const wire = this.#wire;
    this.#stop();
    if (wire) Promise.resolve(this.#outbox).then(() => wire.close());
    else this.#become("closed");
  }

  // The connection -----------------------------------------------------------------------------

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.onstate(state);
  }

  #stop() {
    this.#stopped = true;
    globalThis.removeEventListener?.("online", this.#hurry);
    clearTimeout(this.#timer);
    clearTimeout(this.#refresh);
  }

  #kind() {
    const { transport, WebSocket, seal } = this.#options;
    if (transport !== "auto" || seal) return transport === "auto" ? "ws" : transport;
    return WebSocket && this.#blocked < BLOCKED_AFTER ? "ws" : "sse";
  }

  async #open() {
    this.#become("connecting");
    try {
      const token = (await this.#options.auth?.getToken()) ?? null;
      const kind = this.#kind();
      const { seal } = this.#options;
      this.#greeting = seal ? await this.#greet(seal === true ? {} : seal) : null;
      const open = kind === "ws" ? openSocket : (await import("./sse.mjs")).openEvents;
      if (this.#stopped) return;
      this.transport = kind;
      this.#connect(open, token);
    } catch (error) {
      if (this.#stopped) return;
      this.onerror(error);
      if (error instanceof LunacastError && error.final) this.#stop();
      this.#later();
    }
  }

  async #greet(options) {
    const { greet } = await import("./seal.mjs");
    return greet(options);
  }

  #connect(open, token) {
    const wire = open(this.#url, token, this.#options);
    const mine = (fn) => (...args) => wire === this.#wire && fn(...args);
    this.#wire = wire;
    this.#channel = this.sealed = null;
    this.#outbox = null;
    this.#inbox = Promise.resolve();
    wire.onopen = mine(() => (this.#greeting ? wire.send(this.#greeting.hello) : this.#ready()));
    wire.onmessage = mine((data) => this.#receive(data));
    wire.onclose = mine((code, reason, opened) => this.#lost(code, reason, opened));
    this.#timer = setTimeout(() => this.#giveUp(wire), OPEN_MS);
  }

  // A server that stands still takes connections and says nothing.
  #giveUp(wire) {
    this.onerror(new LunacastError({ error: "the server has not answered in time", code: "timeout" }));
    wire.close();
  }

  #ready() {
    const { name, session } = this.#options;
    const again = this.#opened++ > 0;
    this.#blocked = 0;
    clearTimeout(this.#timer);
    this.#channels.clear();
    this.#become("open");
    if (this.state !== "open") return;
    if (name !== undefined) this.#send("register-name:" + name);
    if (session !== undefined) this.#send("register-session:" + session);
    if (this.#data !== undefined) this.#send("set-data:" + JSON.stringify(this.#data));
    const all = [...this.#subscriptions.values()];
    this.#wire.sends = (text) => this.#send(text);
    this.#wire.begin(all);
    if (this.transport === "ws") for (const path of this.#pictures.keys()) this.#send("watch:" + path);
    for (const ready of this.#waiting.splice(0)) this.#send(ready);
    this.#planRefresh();
    if (again && all.some((subscription) => !subscription.resumes)) this.ongap({});
  }

  // In the order of the calls, though sealing takes a moment.
  #send(ready) {
    const wire = this.#wire, channel = this.#channel;
    if (!channel && !this.#outbox && typeof ready === "string") return wire.send(ready);
    const sent = (this.#outbox ?? Promise.resolve())
      .then(() => ready)
      .then((text) => (channel ? channel.seal(text) : text))
      .then((text) => wire.send(text))
      .catch((error) => this.onerror(error))
      .then(() => this.#outbox === sent && (this.#outbox = null));
    this.#outbox = sent;
  }

  #planRefresh() {
    const ms = this.#options.auth?.refreshIn;
    if (ms == null) return;
    clearTimeout(this.#refresh);
    const wait = Math.min(Math.max(ms, REFRESH_MIN_MS), TIMER_MAX);
    this.#refresh = setTimeout(() => this.#refreshToken(), wait);
    this.#refresh.unref?.(); // in Node it keeps no process alive
  }

  async #refreshToken() {
    try {
      const token = await this.#options.auth.getToken();
      if (token === null || this.state !== "open") return;
      this.#send("refresh-token:" + token);
      this.#planRefresh();
    } catch (error) {
      this.onerror(error); // the connection ends with its token, and the next one needs another
    }
  }

  #lost(code, reason, opened) {
    const why = CLOSES[code];
    this.#wire = null;
    clearTimeout(this.#timer);
    clearTimeout(this.#refresh);
    for (const asked of this.#asked.splice(0)) {
      clearTimeout(asked.timer);
      asked.reject(new LunacastError({ error: "the connection was lost", code: "closed" }));
    }
    if (!opened && !this.#stopped) this.#blocked++;
    // Where it could not be opened with a token, the token may be the reason: nobody says.
    if (why?.renew || !opened) this.#options.auth?.expire();
    if (why && !this.#stopped && !(why.renew && this.#options.auth)) {
      this.onerror(new LunacastError({ error: reason || why.code, code: why.code }));
    }
    if (why?.final) {
      if (why.code === "revoked") this.#options.auth?.clearToken();
      this.#stop();
    }
    this.#later(why?.slow ? BUSY_DELAY_MS : 0);
  }

  #later(least = 0) {
    if (this.#stopped) return this.#become("closed");
    // Random from nothing to the bound: clients that were lost together don't come back together.
    const bound = Math.min(DELAY_MS * 2 ** this.#attempts++, DELAY_MAX_MS);
    this.#patient = least > 0;
    this.#become("waiting");
    if (this.#stopped) return;
    this.#timer = setTimeout(() => this.#open(), least + Math.random() * bound);
  }

  // The network is back (a browser says so): nothing is gained by waiting on.
  #hurry = () => {
    if (this.state !== "waiting" || this.#patient) return;
    clearTimeout(this.#timer);
    this.#open();
  };

  // Messages -----------------------------------------------------------------------------------

  #receive(data) {
    if (!this.#greeting) return this.#take(data);
    const wire = this.#wire;
    this.#inbox = this.#inbox.then(() => this.#unseal(wire, data))
      .catch((error) => this.onerror(error));
  }

  // Nothing that a server says, or that a handler of it does, may end the program.
  #take(data) {
    if (this.#stopped) return;
    try {
      this.#handle(data);
    } catch (error) {
      this.onerror(error);
    }
  }

  async #unseal(wire, data) {
    let text;
    try {
      text = this.#channel ? await this.#channel.open(data) : await this.#agree(data);
    } catch (error) {
      // Keys that do not fit never will: come back with others.
      wire.close(4400, error.code);
      throw error;
    }
    if (wire !== this.#wire) return;
    if (text === null) this.#ready();
    else this.#take(text);
  }

  async #agree(data) {
    const body = objectOf(data);
    if (body.type !== "hello" || isPublished(body)) {
      throw new LunacastError({ error: body.error ?? "the server does not seal", code: body.code });
    }
    this.#channel = await this.#greeting.finish(body);
    this.sealed = body.connection;
    return null;
  }

  #handle(data) {
    const body = objectOf(data);
    this.#attempts = 0;
    if ("channel" in body && !("type" in body)) return this.#takeEnvelope(body);
    if (isPublished(body)) return this.#takePlain(body);
    const handle = ANSWERS[body.type];
    if (handle) return this.#answer(handle, body);
    if (body.code === "gap") this.ongap(body);
    else if (body.path !== undefined) this.#pictures.get(body.path)?.(null, new LunacastError(body));
    else if (body.error !== undefined) this.onerror(new LunacastError(body));
  }

  #answer(handle, body) {
    if (handle === "ask" && this.#settle(body)) return;
    if (handle === "picture") return this.#watching(body);
    const subscription = handle === "begin" ? this.#begun(body) : this.#channels.get(body.channel);
    if (!subscription) return;
    if (body.type === "presence") subscription.takeMembers(body);
    const gap = handle === "begin" && subscription.begun(body);
    if (handle === "member") subscription.takeMember(body);
    if (gap) this.ongap({ topic: body.topic, session_id: body.session_id });
  }

  #watching({ path, channel }) {
    const handler = this.#pictures.get(path);
    if (handler) this.#channels.set(channel, handler);
  }

  // The answer names the session that the server has chosen; the client may have named none.
  #begun(body) {
    const found = this.#subscriptions.get(keyOf(body.topic, body.session_id))
      ?? this.#subscriptions.get(body.topic);
    if (found) this.#channels.set(body.channel, found);
    return found;
  }

  #takeEnvelope({ channel, position, data, base64, gap, lost, ended }) {
    const subscription = this.#channels.get(channel) ?? this.#placed(channel);
    if (!subscription) return;
    if (typeof subscription === "function") return subscription(ended ? null : data, ended ? gone() : null);
    if (gap) return this.ongap({ topic: subscription.topic, session_id: subscription.session, lost });
    if (!subscription.isNew(position)) return;
    const message = base64 === undefined ? data : Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    this.#deliver([subscription], message, position);
  }

  // Without an answer that has named it, the channel itself says topic and session.
  #placed(channel) {
    const place = placeOf(channel);
    if (!place) return null;
    const { topic, session } = place;
    return this.#subscriptions.get(keyOf(topic, session)) ?? this.#subscriptions.get(topic)
      ?? [...this.#subscriptions.values()].find((subscription) => subscription.covers(place));
  }

  #takePlain(body) {
    this.#deliver(this.#subscriptionsOf(body), body);
  }

  // A handler of several subscriptions that a message may be for gets it once.
  #deliver(subscriptions, message, position) {
    const called = new Set();
    for (const subscription of subscriptions) {
      subscription.deliver(message, position, called, (error) => this.onerror(error));
    }
  }

  // A message may name its session. When it does not, it is for every subscription of its topic.
  #subscriptionsOf({ topic, session_id: session }) {
    const all = [...this.#subscriptions.values()].filter((s) => s.topic === topic && !s.enveloped);
    if (session === undefined) return all;
    const exact = all.filter((s) => s.session === session);
    const own = all.filter((s) => s.session === undefined);
    if (exact.length === 0) return own;
    return session === this.#ownSession() ? [...exact, ...own] : exact;
  }

  #ownSession() {
    const { name, session } = this.#options;
    return session ?? (name === undefined ? "default" : "session-" + name);
  }

  // Questions ----------------------------------------------------------------------------------

  #ask(type, topic, session, more = {}) {
    if (this.state !== "open" || this.transport !== "ws") {
      const error = "there is no WebSocket connection to ask by";
      return Promise.reject(new LunacastError({ error, code: "closed" }));
    }
    return new Promise((resolve, reject) => {
      const asked = { type, topic, session, resolve, reject };
      asked.timer = setTimeout(() => {
        this.#asked.splice(this.#asked.indexOf(asked), 1);
        reject(new LunacastError({ error: `no answer to ${type} came`, code: "timeout" }));
      }, ASK_MS);
      this.#asked.push(asked);
      this.#send(`${type}-json:` + JSON.stringify({ topic, session_id: session, ...more }));
    });
  }

  #settle(body) {
    const at = this.#asked.findIndex((asked) => asked.type === body.type &&
      asked.topic === body.topic && (asked.session ?? body.session_id) === body.session_id);
    if (at < 0) return false; // the server tells by itself who is there, after a gap
    const [asked] = this.#asked.splice(at, 1);
    clearTimeout(asked.timer);
    asked.resolve(body);
    return true;
  }
}

function gone() {
  return new LunacastError({ error: "this picture has ended", code: "not_found" });
}

const ANSWERS = {
  watching: "picture", subscribed: "begin", join: "member", leave: "member", presence: "ask", history: "ask",
};

export function connect(url, options) {
  return new Client(url, options);
}
