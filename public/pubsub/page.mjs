// The page: each connection is a client of clients/js, shown with its topics and everything that
// goes over its wire.
import { Auth, Client } from "./lunacast.mjs";
import { SharedKey } from "./seal.mjs";
import { $, connection, emptyLog, facts, h, note, show, topic } from "./view.mjs";

const CONNECTIONS_MAX = 9;
const CHANGES_MS = 100;
const auth = new Auth(location.origin);
const connections = [];
let chosen = null, user = null, drawing = null;

const value = (form, name) => form.elements[name].value.trim() || undefined;
const checked = (form, name) => form.elements[name].checked;

// Everything of a moment is drawn at once.
function draw() {
  drawing ??= setTimeout(() => {
    drawing = null;
    drawConnections();
    drawTopics();
    drawToken();
  }, CHANGES_MS);
}

// Who you are ---------------------------------------------------------------------------------

function claimsOf(token) {
  const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0))));
}

let claims = null;

function drawToken() {
  const logged = claims !== null;
  $("#refresh").disabled = $("#clear").disabled = !logged;
  if (!logged) return facts($("#token"), [["isAuthenticated", "false"]]);
  const left = Math.round(claims.exp - Date.now() / 1000);
  facts($("#token"), [
    ["isAuthenticated", [String(auth.isAuthenticated()), auth.isAuthenticated() ? "good" : "bad"]],
    ["sub", claims.sub], ["sid", claims.sid ?? "any session"],
    ["expires in", [left > 0 ? `${left} s` : "expired", left > 60 ? "" : "warn"]],
  ]);
}

async function take(promise) {
  try {
    claims = claimsOf(await promise);
    user = claims.sub;
    note({ way: "state", from: "auth", text: `token of ${user}` });
    $("#connect").elements.token.checked = true;
  } catch (error) {
    note({ way: "error", from: "auth", text: error.message, tags: error.code });
  }
  draw();
}

$("#auth").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  take(auth.login(value(form, "username"), form.elements.password.value, value(form, "session")));
});
$("#refresh").addEventListener("click", () => take(auth.refresh()));
$("#clear").addEventListener("click", () => {
  auth.clearToken();
  claims = user = null;
  draw();
});

// Connections ---------------------------------------------------------------------------------

// A WebSocket that shows what it carries.
function tap(c) {
  return class extends WebSocket {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", ({ data }) =>
        note({ way: "in", from: c.name, text: data, raw: true, tags: c.client?.sealed ? "sealed" : "" }));
    }

    send(text) {
      note({ way: "out", from: c.name, text, raw: true, tags: text.startsWith("sealed:") ? "sealed" : "" });
      super.send(text);
    }
  };
}

async function trusted() {
  return (await fetch("/.well-known/jwks.json")).json();
}

async function optionsOf(form, c) {
  const curve = value(form, "seal");
  const seal = curve && { curve, trust: checked(form, "trust") ? await trusted() : undefined };
  return {
    name: value(form, "name"), session: value(form, "session"), transport: value(form, "transport"),
    auth: checked(form, "token") ? auth : undefined, seal, WebSocket: tap(c),
  };
}

function watch(c) {
  c.client.onstate = (state) => {
    note({ way: "state", from: c.name, text: state, tags: c.client.sealed ? "sealed" : "" });
    draw();
  };
  c.client.onerror = (error) => {
    note({ way: "error", from: c.name, text: error.message, tags: error.code });
    draw();
  };
  c.client.ongap = (gap) =>
    note({ way: "gap", from: c.name, topic: gap.topic, text: "messages may have been missed" });
}

async function connect(form) {
  if (connections.length >= CONNECTIONS_MAX) {
    return note({ way: "error", from: "page", text: `this page holds ${CONNECTIONS_MAX} connections at most` });
  }
  const c = { name: value(form, "name") ?? "anonymous", session: value(form, "session"), count: 0,
    user: checked(form, "token") ? user : null, topics: new Map() };
  try {
    const options = await optionsOf(form, c);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    c.client = new Client(`${scheme}//${location.host}/ws`, options);
  } catch (error) {
    return note({ way: "error", from: c.name, text: error.message });
  }
  watch(c);
  connections.push(c);
  chosen = c;
  draw();
}

function close(c) {
  c.client.close();
  connections.splice(connections.indexOf(c), 1);
  if (chosen === c) chosen = connections.at(-1) ?? null;
  draw();
}

function choose(c, focus) {
  chosen = c;
  drawConnections();
  drawTopics();
  if (focus) $('[role="radio"][aria-checked="true"]')?.focus();
}

function drawConnections() {
  const list = $("#connections");
  const had = list.contains(document.activeElement) && document.activeElement.role === "radio";
  list.replaceChildren(...connections.map((c, i) => connection(c, i + 1, c === chosen,
    { choose: () => choose(c), close: () => close(c) })));
  if (connections.length === 0) list.append(h("p.empty", {}, "None yet: press Connect."));
  if (had) $('[aria-checked="true"]', list)?.focus();
  const open = connections.filter((c) => c.client.state === "open").length;
  const summary = connections.length === 0 ? "no connection" : `${open} of ${connections.length} open`;
  if ($("#summary").textContent !== summary) $("#summary").textContent = summary;
}

$("#connections").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (!step || !chosen) return;
  event.preventDefault();
  const at = (connections.indexOf(chosen) + step + connections.length) % connections.length;
  choose(connections[at], true);
});
$("#connect").addEventListener("submit", (event) => {
  event.preventDefault();
  connect(event.target);
});

// Topics and messages -------------------------------------------------------------------------

function drawTopics() {
  const all = chosen ? [...chosen.topics.values()] : [];
  $("#topics").replaceChildren(...all.map((subscription) => topic(subscription, () => {
    subscription.unsubscribe();
    chosen.topics.delete(subscription.key);
    draw();
  })));
}

function needed() {
  if (!chosen) note({ way: "error", from: "page", text: "there is no connection: press Connect first" });
  return chosen;
}

async function readable(message) {
  const text = $("#publish").elements.key.value.trim();
  if (!text || typeof message.payload?.sealed !== "string") return [message.payload, ""];
  try {
    return [await reader(text).open(message.topic, message.payload, crypto.randomUUID()), "end to end"];
  } catch (error) {
    return [message.payload, error.code];
  }
}

// The page keeps one key object per key, so that its numbers go on.
const keys = new Map();
function reader(text) {
  if (!keys.has(text)) keys.set(text, SharedKey.from(text));
  return keys.get(text);
}

async function receive(c, message, position) {
  c.count++;
  const [payload, opened] = await readable(message);
  const tags = [c.client.sealed && "sealed", opened, position].filter(Boolean).join(" ");
  note({ way: "in", from: c.name, topic: message.topic, tags,
    text: `${message.publisher_name}: ${JSON.stringify(payload)}` });
  draw();
}

$("#subscribe").addEventListener("submit", (event) => {
  event.preventDefault();
  const c = needed(), form = event.target;
  if (!c) return;
  const subscription = c.client.subscribe(value(form, "topic"), c.handler ??= (...args) => receive(c, ...args), {
    session: value(form, "session"), resume: checked(form, "resume"), presence: checked(form, "presence"),
    onpresence: (change, members) => {
      note({ way: "state", from: c.name, topic: subscription?.topic,
        text: `${change.type} ${change.user ?? ""}: ${members.length} there` });
      draw();
    },
  });
  c.topics.set(subscription.key, subscription);
  draw();
});

function payloadOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function publish(form) {
  const c = needed();
  if (!c) return;
  const text = form.elements.key.value.trim(), name = value(form, "topic");
  const payload = payloadOf(form.elements.payload.value);
  try {
    const key = text ? reader(text) : undefined;
    c.client.publish(name, payload, { session: value(form, "session"), key });
    const tags = [c.client.sealed && "sealed", key && "end to end"].filter(Boolean).join(" ");
    note({ way: "out", from: c.name, topic: name, text: JSON.stringify(payload), tags });
  } catch (error) {
    note({ way: "error", from: c.name, text: error.message });
  }
}

$("#publish").addEventListener("submit", (event) => {
  event.preventDefault();
  publish(event.target);
});
$("#publish").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("#publish").requestSubmit();
});
$("#generate").addEventListener("click", () => {
  $("#publish").elements.key.value = SharedKey.generate().export();
});

// The log, and the keyboard --------------------------------------------------------------------

$("#wire").addEventListener("change", (event) => show({ wire: event.target.checked }));
$("#pause").addEventListener("change", (event) => show({ pause: event.target.checked }));
$("#filter").addEventListener("input", (event) => show({ filter: event.target.value }));
$("#empty").addEventListener("click", emptyLog);

const SHORTCUTS = {
  n: () => $("#connect").elements.name.focus(),
  s: () => $("#subscribe").elements.topic.focus(),
  p: () => $("#publish").elements.payload.focus(),
};

document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input, textarea, select");
  if (event.key === "Escape" && field) return field.blur();
  if (field || event.ctrlKey || event.altKey || event.metaKey) return;
  const c = connections[Number(event.key) - 1];
  const act = SHORTCUTS[event.key.toLowerCase()] ?? (c && (() => choose(c, true)));
  if (!act) return;
  event.preventDefault();
  act();
});

setInterval(() => claims && drawToken(), 1000);
show({});
draw();
