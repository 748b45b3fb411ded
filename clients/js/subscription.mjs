/** One topic in one session, as a client follows it: its handlers, its position, who is there. */

export function keyOf(topic, session) {
  return session === undefined ? topic : `${topic}|${session}`;
}

function offsetOf(position) {
  const [epoch, offset] = position.split(":");
  return { epoch, offset: Number(offset) };
}

export class Subscription {
  /** Where a reconnect goes on; null: the server keeps no history of this topic. */
  position = null;
  /** Of the last (re)connect: nothing was missed, something was, or nobody knows. */
  recovered = null;
  /** Who is there; with the option presence. */
  members = [];
  #client;
  #options;
  #handlers = new Set();
  #seen = null; // the position of the last message that was delivered
  #order = Promise.resolve();

  constructor(client, topic, options) {
    this.#client = client;
    this.#options = options;
    this.topic = topic;
    this.session = options.session;
    if (!this.isPattern) this.position = this.#seen = options.since ?? null;
  }

  get key() {
    return keyOf(this.topic, this.session);
  }

  /** It stands for all topics that begin so; each has positions of its own. */
  get isPattern() {
    return this.topic.endsWith("*");
  }

  covers({ topic, session }) {
    return this.isPattern && topic.startsWith(this.topic.slice(0, -1)) &&
      (this.session === undefined || this.session === session);
  }

  /** Its messages come in envelopes that say their position. */
  get enveloped() {
    if (this.isPattern) return true;
    const { resume, since, history, presence } = this.#options;
    return Boolean(resume || since !== undefined || history || presence);
  }

  /** It asks to be present in its topic. */
  get present() {
    return Boolean(this.#options.presence);
  }

  /** A reconnect goes on where it was. */
  get resumes() {
    return this.enveloped && this.position !== null;
  }

  /** What asks for it. */
  command() {
    if (!this.enveloped) return "subscribe:" + this.key;
    return "subscribe-json:" + JSON.stringify({
      topic: this.topic,
      session_id: this.session,
      since: this.position ?? undefined,
      history: this.position === null && !this.isPattern ? this.#options.history : undefined,
      presence: this.#options.presence,
    });
  }

  add(handler) {
    if (typeof handler !== "function") throw new TypeError("a subscription needs a function");
    this.#handlers.add(handler);
  }

  /** True: no handler is left. */
  remove(handler) {
    if (handler) this.#handlers.delete(handler);
    else this.#handlers.clear();
    return this.#handlers.size === 0;
  }

  unsubscribe() {
    this.#client.unsubscribe(this.topic, undefined, { session: this.session });
  }

  /** Takes the server's answer; true: messages were missed. What was not missed follows. */
  begun({ position, recovered, presence }) {
    const resumed = this.resumes;
    this.recovered = recovered ?? null;
    if (!resumed || recovered !== true) {
      this.position = position ?? null;
      this.#seen = null;
    }
    if (presence) this.takeMembers(presence);
    return resumed && recovered !== true;
  }

  /** A message that a resumed subscription has had already is not new. */
  isNew(position) {
    if (position === undefined || this.#seen === null) return true;
    const last = offsetOf(this.#seen), now = offsetOf(position);
    return last.epoch !== now.epoch || now.offset > last.offset;
  }

  /** In order, though opening a sealed payload takes a moment. */
  deliver(message, position, called, report) {
    if (position !== undefined && !this.isPattern) this.position = this.#seen = position;
    const { key } = this.#options;
    if (!key) {
      this.#call(message, position, called, report);
      return;
    }
    const topic = this.isPattern ? message.topic : this.topic;
    this.#order = this.#order
      .then(() => key.open(topic, message.payload, `${this.key} ${topic}`))
      .then((payload) => this.#call({ ...message, payload }, position, called, report), report);
  }

  // One handler's mistake is not another's.
  #call(message, position, called, report) {
    for (const handler of [...this.#handlers]) {
      if (called.has(handler)) continue;
      called.add(handler);
      try {
        handler(message, position);
      } catch (error) {
        report(error);
      }
    }
  }

  takeMembers({ members }) {
    this.#setMembers([...members], { type: "state" });
  }

  #setMembers(members, event) {
    this.members = members;
    this.#options.onpresence?.(event, members);
  }

  takeMember(event) {
    const others = this.members.filter((member) => member.connection !== event.connection);
    const { user, connection, data } = event;
    this.#setMembers(event.type === "join" ? [...others, { user, connection, data }] : others, event);
  }
}
