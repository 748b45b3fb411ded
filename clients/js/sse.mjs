/**
 * The client's other transport, for networks that block WebSockets: topics come as server-sent
 * events by one GET /sse, which begins anew when the topics change, and messages go by POST
 * /publish. By fetch, not EventSource: the token travels in a header, not in a URL that ends up in
 * logs. It is present where it asks to be, but to hear of the others, questions and sealed
 * connections need a WebSocket.
 */

const POSTING_MAX = 1000; // messages that wait for those before them
const CLOSES = { expired: 4401, revoked: 4403, kicked: 4409, overloaded: 1013, going_away: 1001 };
const REFUSED = { 401: 4401, 403: 4403, 429: 1013, 503: 1013 };

/** Events of a stream of text, as the server sends them: one line end, comments, id, event, data. */
export class Events {
  #rest = "";
  #event = {};
  #tell;

  constructor(tell) {
    this.#tell = tell;
  }

  // A CR at the end of a piece may be the first half of a line's end.
  take(text) {
    const all = this.#rest + text;
    const cut = all.endsWith("\r") ? all.length - 1 : all.length;
    const lines = all.slice(0, cut).split(/\r\n|[\n\r]/);
    this.#rest = lines.pop() + all.slice(cut);
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "data") (this.#event.data ??= []).push(value);
    else if (name === "id" || name === "event") this.#event[name] = value;
  }

  // An id alone is told, too: the place from which to go on.
  #dispatch() {
    const { data, ...event } = this.#event;
    this.#event = {};
    if (data !== undefined || event.id !== undefined) this.#tell({ ...event, data: data?.join("\n") });
  }
}

function claimsOf(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(part));
  } catch {
    return {}; // no token, or one that only the server can read
  }
}

// As the server has it for a WebSocket: there is nothing to register by here.
function sessionOf(token, { name, session }) {
  const { sid, sub } = claimsOf(token);
  const user = name ?? sub;
  return sid ?? session ?? (user === undefined ? undefined : "session-" + user);
}

class EventWire {
  #base;
  #headers;
  #session;
  #fetch;
  #topics = new Map(); // key -> Subscription
  #followed = new Set(); // those of the stream that is read
  #stream = null; // AbortController of it
  #opening = new AbortController();
  #id = null; // the stream's, for a newer token
  #changing = null;
  #posting = Promise.resolve(); // one after the other, so that they arrive in order
  #waiting = 0;
  #opened = false;
  #over = false;
  onopen = () => {};
  onmessage = () => {};
  onclose = () => {};

  constructor(url, token, options) {
    this.#base = new URL(url);
    this.#base.protocol = this.#base.protocol.replace("ws", "http");
    this.#headers = token === null ? {} : { Authorization: "Bearer " + token };
    this.#session = sessionOf(token, options);
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    queueMicrotask(() => this.#open());
  }

  // Whether the server is there shows with the first answer.
  async #open() {
    const answer = await this.#ask("/health", { signal: this.#opening.signal }).catch(() => null);
    if (!answer) return this.#end(1006, "");
    this.#opened = true;
    if (!this.#over) this.onopen();
  }

  #ask(path, options) {
    const headers = { ...this.#headers, ...options.headers };
    return this.#fetch(new URL(path, this.#base), { ...options, headers });
  }

  #end(code, reason) {
    if (this.#over) return;
    this.#over = true;
    this.#opening.abort();
    this.#stream?.abort();
    this.onclose(code, reason, this.#opened);
  }

  close(code = 1000, reason = "") {
    this.#end(code, reason);
  }

  // Topics -------------------------------------------------------------------------------------

  begin(all) {
    for (const subscription of all) this.#topics.set(subscription.key, subscription);
    this.#change();
  }

  subscribe(subscription) {
    this.#topics.set(subscription.key, subscription);
    this.#change();
  }

  unsubscribe(subscription) {
    this.#topics.delete(subscription.key);
    this.#change();
  }

  // All changes of a moment make one new stream.
  #change() {
    this.#changing ??= Promise.resolve().then(() => {
      this.#changing = null;
      return this.#over || this.#read();
    }).catch((error) => this.#end(1006, error.message));
  }

  #query() {
    const query = new URLSearchParams(), all = [...this.#topics.values()];
    const some = all.some(({ position }) => position !== null), there = all.some((one) => one.present);
    for (const { topic, session, position, present } of all) {
      query.append("topic", topic);
      const where = session ?? this.#session ?? (all.some((one) => one.session) ? "default" : undefined);
      if (where !== undefined) query.append("session_id", where);
      if (some) query.append("since", position ?? "");
      if (there) query.append("presence", present);
    }
    return query;
  }

  async #read() {
    const old = this.#stream;
    const stream = this.#stream = this.#topics.size > 0 ? new AbortController() : null;
    if (!stream) return old?.abort();
    const [only, second] = this.#topics.values();
    const answer = await this.#ask("/sse?" + this.#query(),
      { headers: { Accept: "text/event-stream" }, signal: stream.signal }).catch(() => null);
    old?.abort();
    if (stream !== this.#stream) return;
    if (answer?.status !== 200) return this.#refused(answer);
    this.#id = answer.headers.get("Stream-Id");
    this.#tellUnsure();
    await this.#drain(answer.body, second || only.isPattern ? null : only, stream);
  }

  // What was published between two streams is known to be missing only where there are positions.
  #tellUnsure() {
    const all = [...this.#topics.values()];
    const unsure = all.filter((one) => this.#followed.has(one) && one.position === null);
    this.#followed = new Set(all);
    for (const { topic, session: session_id } of unsure) {
      this.onmessage(JSON.stringify({ error: "messages may have been missed", code: "gap", topic, session_id }));
    }
  }

  async #refused(answer) {
    const body = await answer?.json().catch(() => null);
    if (body?.error) this.onmessage(JSON.stringify(body));
    this.#end(REFUSED[answer?.status] ?? 1006, body?.code ?? "");
  }

  async #drain(body, only, stream) {
    const events = new Events((event) => this.#take(event, only));
    const decoder = new TextDecoder();
    try {
      for (const reader = body.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done || stream !== this.#stream) break;
        events.take(decoder.decode(value, { stream: true }));
      }
    } catch {
      // the connection was lost, or the stream was given up for another
    }
    if (stream === this.#stream) this.#end(1006, "");
  }

  #take({ event, id, data }, only) {
    if (event === "end") return this.#end(CLOSES[wordOf(data)] ?? 1006, wordOf(data));
    if (!only) return data !== undefined && this.onmessage(data);
    if (data === undefined) return only.position === null && only.begun({ position: id });
    // One topic: the message is as it was published, and its position is the event's id.
    const channel = this.#channelOf(only);
    if (event === "gap") this.onmessage(JSON.stringify({ ...jsonOf(data), channel, gap: true }));
    else this.onmessage(JSON.stringify({ channel, position: id, data: jsonOf(data) }));
  }

  #channelOf({ topic, session }) {
    const where = session ?? this.#session ?? "default";
    return `pubsub:0:${new TextEncoder().encode(where).length}:${where}${topic}`;
  }

  // Messages -----------------------------------------------------------------------------------

  send(text) {
    const at = text.indexOf(":");
    const name = text.slice(0, at), rest = text.slice(at + 1);
    if (name === "publish-json") this.#post("/publish", this.#placed(JSON.parse(rest)));
    else if (name === "refresh-token") this.#refresh(rest);
    // Names and sessions go along with each topic and message.
  }

  #placed(message) {
    return message.session_id === undefined && this.#session !== undefined
      ? { ...message, session_id: this.#session } : message;
  }

  #refresh(token) {
    this.#headers = { Authorization: "Bearer " + token };
    if (this.#id) this.#post(`/sse/${encodeURIComponent(this.#id)}/token`, { token });
  }

  isFull() {
    return this.#waiting >= POSTING_MAX;
  }

  #post(path, body) {
    this.#waiting++;
    this.#posting = this.#posting.then(() => this.#over || this.#postNow(path, body))
      .then(() => this.#waiting--);
  }

  async #postNow(path, body) {
    const answer = await this.#ask(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    }).catch((error) => this.#end(1006, error.message));
    if (!answer || answer.ok) return;
    this.onmessage(JSON.stringify(await answer.json().catch(() => ({
      error: `the server answered ${answer.status}`, code: "http",
    }))));
  }
}

function jsonOf(data) {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}

function wordOf(data) {
  return jsonOf(data)?.code ?? "";
}

export function openEvents(url, token, options) {
  return new EventWire(url, token, options);
}
