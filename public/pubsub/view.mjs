// What the page shows: small functions from data to elements. Text goes in as text, never as HTML.

export const $ = (selector, within = document) => within.querySelector(selector);

/** An element: h("li.error", { title: "x" }, "text", child). */
export function h(kind, properties = {}, ...children) {
  const [tag, ...classes] = kind.split(".");
  const element = document.createElement(tag);
  if (classes.length > 0) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const MESSAGES_MAX = 500;
const WAYS = { in: "↓", out: "↑", error: "!", gap: "…", state: "·" };
const log = $("#messages");
const held = []; // the newest messages, as they are filtered
let shown = { filter: "", wire: false, pause: false };

function time(at) {
  return at.toTimeString().slice(0, 8) + "." + String(at.getMilliseconds()).padStart(3, "0");
}

function line({ at, way, from, topic, text, tags, raw }) {
  return h(`li.${way}${raw ? ".raw" : ""}`, {},
    h("span.time", {}, time(at)), h("span.way", { title: way }, WAYS[way]),
    h("span.from", { title: from }, from), h("span.topic", { title: topic ?? "" }, topic ?? ""),
    h("span.text", {}, text), h("span.tags", {}, tags ?? ""));
}

function wanted(entry) {
  if (Boolean(entry.raw) !== shown.wire && !["error", "gap", "state"].includes(entry.way)) return false;
  const words = shown.filter.toLowerCase();
  return words === "" || `${entry.from} ${entry.topic} ${entry.text}`.toLowerCase().includes(words);
}

function append(entry) {
  const end = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  $(".none", log)?.remove();
  log.append(line(entry));
  if (log.children.length > MESSAGES_MAX) log.firstChild.remove();
  if (end) log.scrollTop = log.scrollHeight;
}

export function note(entry) {
  held.push({ at: new Date(), ...entry });
  if (held.length > 2 * MESSAGES_MAX) held.shift();
  if (!shown.pause && wanted(held.at(-1))) append(held.at(-1));
}

/** Shows the messages anew. @param {{ filter?: string, wire?: boolean, pause?: boolean }} change */
export function show(change) {
  shown = { ...shown, ...change };
  log.replaceChildren(...held.filter(wanted).slice(-MESSAGES_MAX).map(line));
  if (log.children.length === 0) log.append(h("li.none", {}, "Nothing yet."));
  log.scrollTop = log.scrollHeight;
}

export function emptyLog() {
  held.length = 0;
  show({});
}

/** Facts as a list of terms; a value may be [text, class]. */
export function facts(list, rows) {
  list.replaceChildren(...rows.flatMap(([name, value]) => {
    const [text, kind] = Array.isArray(value) ? value : [value, ""];
    return [h("dt", {}, name), h("dd", { className: kind }, text)];
  }));
}

/** One connection as a choice. */
export function connection(c, number, chosen, { choose, close }) {
  const lock = c.client.sealed ? h("span.badge", { title: "every message of this connection is sealed" }, "sealed") : null;
  const about = [c.client.state, c.client.transport, c.user ? `token of ${c.user}` : "no token",
    `${c.count} messages`].filter(Boolean).join(" · ");
  return h("div.connection", {
    role: "radio", "aria-checked": String(chosen), tabIndex: chosen ? 0 : -1,
    onclick: choose, onkeydown: (event) => event.key === " " && (event.preventDefault(), choose()),
  },
  h(`span.dot.${c.client.state}`, { "aria-hidden": "true" }),
  h("span.name", {}, `${number} ${c.name} `, h("small", {}, c.session ?? "its own session"), lock),
  h("button", { type: "button", "aria-label": `Close ${c.name}`,
    onclick: (event) => (event.stopPropagation(), close()) }, "close"),
  h("span.about", {}, about));
}

export function topic(subscription, unsubscribe) {
  const { position, recovered, members } = subscription;
  const about = [position && `at ${position}`, recovered === true && "recovered",
    recovered === false && "not recovered", members.length > 0 && `${members.length} there`]
    .filter(Boolean).join(", ");
  return h("li", {}, subscription.key, about ? h("small", {}, about) : null,
    h("button", { type: "button", "aria-label": `Unsubscribe ${subscription.key}`,
      onclick: unsubscribe }, "×"));
}
