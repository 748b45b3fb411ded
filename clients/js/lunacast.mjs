/**
 * Publish/subscribe on lunacast, for browsers and Node: one module, no dependencies.
 *
 *   import { connect } from "./lunacast.mjs";
 *   const client = connect("wss://example.org/ws", { name: "ann" });
 *   client.subscribe("news", (message) => console.log(message.payload));
 *   client.publish("news", { any: "JSON" });
 *
 * The connection comes back by itself, with a random delay that doubles, and subscribes again. What
 * was published meanwhile is lost; `ongap` says so. Node before 22 has no WebSocket of its own: pass
 * one, such as that of the package ws, as options.WebSocket.
 */

const OPEN = 1;
const EXPIRED = 4401;
const WAITING_MAX = 1000;
const DELAY_MS = 500;
const DELAY_MAX_MS = 30000;
const REFRESH_AT = 0.8; // of a token's life

/** What the server said in answer to a message that it could not obey. */
export class LunacastError extends Error {
  constructor(body) {
    super(body.error);
    this.name = "LunacastError";
    this.code = body.code;
    this.body = body;
  }
}

/** A token, and how to get the next one. */
export class Auth {
  #url;
  #fetch;
  #login = null;
  #token = null;
  #expires = 0;
  #refresh = 0;

  /** @param {string} url the server's, "https://example.org" */
  constructor(url, { fetch = globalThis.fetch } = {}) {
    this.#url = new URL("/auth/token", url);
    this.#fetch = fetch;
  }

  /**
   * The first use of a name claims it with that password. The password is kept for `getToken` until
   * `clearToken`.
   * @param {string} username
   * @param {string} password
   * @param {string} [session] the only session that the token is for
   */
  async login(username, password, session) {
    this.#login = { username, password, ...(session === undefined ? {} : { session_id: session }) };
    return this.#renew();
  }

  async #renew() {
    const answer = await this.#fetch.call(globalThis, this.#url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(this.#login),
    });
    const body = await answer.json();
    if (!answer.ok) throw new LunacastError(body);
    this.#token = body.token;
    // Tokens count whole seconds: what is left may be up to a second less than was said.
    const life = Math.max(body.expires_in - 1, 0) * 1000;
    this.#expires = Date.now() + life;
    this.#refresh = Date.now() + life * REFRESH_AT;
    return this.#token;
  }

  isAuthenticated() {
    return this.#token !== null && Date.now() < this.#expires;
  }

  /** A token that is good for a while; a new one when the old one is about to expire. */
  async getToken() {
    if (this.#token !== null && Date.now() < this.#refresh) return this.#token;
    if (this.#login === null) return null;
    return this.#renew();
  }

  /** Milliseconds until the token should be replaced; null: there is none. */
  get refreshIn() {
    return this.#token === null ? null : Math.max(0, this.#refresh - Date.now());
  }

  clearToken() {
    this.#token = this.#login = null;
    this.#expires = this.#refresh = 0;
  }
}

/**
 * @typedef {object} Message
 * @property {string} publisher_name
 * @property {string} topic
 * @property {any} payload
 * @property {string} timestamp
 * @property {string} [session_id]
 *
 * @typedef {object} Options
 * @property {string} [name] the client's name; its session is then "session-NAME"
 * @property {string} [session] its session
 * @property {Auth} [auth] whose tokens are used
 * @property {typeof globalThis.WebSocket} [WebSocket]
 */

export class Client {
  /** Called with "connecting", "open", "waiting" or "closed". @type {(state: string) => void} */
  onstate = () => {};
  /** Called with what the server could not obey. @type {(error: Error) => void} */
  onerror = () => {};
  /** Called when messages may have been missed: { topic, session_id }, or {} for all topics. */
  ongap = () => {};

  state = "closed";
  #url;
  #options;
  #socket = null;
  #subscriptions = new Map(); // "topic" or "topic|session" -> Set of handlers
  #waiting = []; // messages published while there is no connection
  #attempts = 0;
  #opened = 0;
  #timer = null;
  #refresh = null;
  #stopped = false;

  /**
   * @param {string} url "wss://example.org/ws"
   * @param {Options} [options]
   */
  constructor(url, options = {}) {
    this.#url = url;
    this.#options = { WebSocket: globalThis.WebSocket, ...options };
    if (!this.#options.WebSocket) throw new TypeError("no WebSocket here: pass options.WebSocket");
    this.#open();
  }

  /**
   * @param {string} topic
   * @param {(message: Message) => void} handler
   * @param {{ session?: string }} [options]
   */
  subscribe(topic, handler, { session } = {}) {
    const key = keyOf(topic, session);
    const handlers = this.#subscriptions.get(key);
    if (handlers) {
      handlers.add(handler);
      return;
    }
    this.#subscriptions.set(key, new Set([handler]));
    if (this.state === "open") this.#socket.send("subscribe:" + key);
  }

  /** Without a handler: all of them. */
  unsubscribe(topic, handler, { session } = {}) {
    const key = keyOf(topic, session);
    const handlers = this.#subscriptions.get(key);
    if (!handlers) return;
    if (handler) handlers.delete(handler);
    if (handler && handlers.size > 0) return;
    this.#subscriptions.delete(key);
    if (this.state === "open") this.#socket.send("unsubscribe:" + key);
  }

  /**
   * Sends, or keeps up to 1,000 messages until there is a connection.
   * @param {string} topic
   * @param {any} payload any JSON value
   * @param {{ session?: string }} [options]
   */
  publish(topic, payload, { session } = {}) {
    const message = { topic, payload, timestamp: new Date().toISOString() };
    if (this.#options.name !== undefined) message.publisher_name = this.#options.name;
    if (session !== undefined) message.session_id = session;
    const text = "publish-json:" + JSON.stringify(message);
    if (this.state === "open") {
      this.#socket.send(text);
    } else {
      if (this.#stopped) throw new Error("this client is closed");
      if (this.#waiting.length >= WAITING_MAX) {
        throw new Error(`there is no connection, and ${WAITING_MAX} messages wait for one already`);
      }
      this.#waiting.push(text);
    }
  }

  close() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#refresh);
    if (this.#socket) this.#socket.close(1000);
    else this.#become("closed");
  }

  #become(state) {
    this.state = state;
    this.onstate(state);
  }

  async #open() {
    this.#become("connecting");
    let token = null;
    try {
      token = (await this.#options.auth?.getToken()) ?? null;
    } catch (error) {
      this.onerror(error);
      if (error instanceof LunacastError && error.code === "wrong_password") this.#stopped = true;
      this.#later();
      return;
    }
    if (this.#stopped) {
      this.#become("closed");
      return;
    }
    // The subprotocol carries the token: a URL would end up in logs.
    const protocols = token === null ? [] : ["bearer", token];
    const socket = new this.#options.WebSocket(this.#url, protocols);
    this.#socket = socket;
    socket.onopen = () => this.#ready(socket);
    socket.onmessage = (event) => this.#take(event.data);
    socket.onerror = () => {}; // a close follows
    socket.onclose = (event) => this.#lost(event);
  }

  #ready(socket) {
    const { name, session } = this.#options;
    if (name !== undefined) socket.send("register-name:" + name);
    if (session !== undefined) socket.send("register-session:" + session);
    for (const key of this.#subscriptions.keys()) socket.send("subscribe:" + key);
    for (const text of this.#waiting.splice(0)) socket.send(text);
    this.#planRefresh();
    const again = this.#opened++ > 0;
    this.#become("open");
    if (again && this.#subscriptions.size > 0) this.ongap({});
  }

  #planRefresh() {
    const ms = this.#options.auth?.refreshIn;
    if (ms == null) return;
    clearTimeout(this.#refresh);
    this.#refresh = setTimeout(() => this.#refreshToken(), Math.min(ms, 2 ** 31 - 1));
    this.#refresh.unref?.(); // in Node it keeps no process alive
  }

  async #refreshToken() {
    try {
      const token = await this.#options.auth.getToken();
      if (token !== null && this.#socket?.readyState === OPEN) {
        this.#socket.send("refresh-token:" + token);
        this.#planRefresh();
      }
    } catch (error) {
      this.onerror(error); // the connection ends with its token, and the next one needs another
    }
  }

  #take(data) {
    this.#attempts = 0;
    const body = JSON.parse(data);
    if (!("payload" in body)) {
      if (body.code === "gap") this.ongap(body);
      else this.onerror(new LunacastError(body));
      return;
    }
    for (const handler of this.#handlersOf(body)) handler(body);
  }

  // A message may name its session. When it does not, it is for every subscription of its topic.
  #handlersOf({ topic, session_id: session }) {
    const all = [...this.#subscriptions].filter(([key]) => key.split("|")[0] === topic);
    const exact = all.filter(([key]) => key === keyOf(topic, session));
    const plain = all.filter(([key]) => key === topic);
    let found = all;
    if (session !== undefined && exact.length > 0) {
      found = session === this.#ownSession() ? [...exact, ...plain] : exact;
    } else if (session !== undefined) {
      found = plain;
    }
    return found.flatMap(([, handlers]) => [...handlers]);
  }

  #ownSession() {
    const { name, session } = this.#options;
    return session ?? (name === undefined ? "default" : "session-" + name);
  }

  #lost(event) {
    this.#socket = null;
    clearTimeout(this.#refresh);
    if (event.code === EXPIRED && !this.#options.auth) {
      this.onerror(new LunacastError({ error: "the token has expired", code: "expired" }));
    }
    this.#later();
  }

  #later() {
    if (this.#stopped) {
      this.#become("closed");
      return;
    }
    // Random from nothing to the bound: clients that were lost together don't come back together.
    const bound = Math.min(DELAY_MS * 2 ** this.#attempts++, DELAY_MAX_MS);
    this.#become("waiting");
    this.#timer = setTimeout(() => this.#open(), Math.random() * bound);
  }
}

function keyOf(topic, session) {
  return session === undefined ? topic : `${topic}|${session}`;
}

/** @param {string} url @param {Options} [options] */
export function connect(url, options) {
  return new Client(url, options);
}
