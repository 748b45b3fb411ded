// The page of those who decide: a list that follows the server's events, one request in detail, and
// two buttons. Everything that comes from a request is put into the page as text, never as markup.
const API = "/api/aura/hitl";
const $ = (id) => document.getElementById(id);
const requests = new Map();
let token = sessionStorage.getItem("approvals-token") ?? "";
let user = "", tenant = "", chosen = null, following = null, deciding = false;

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function say(text, kind = "") {
  $("state").textContent = text;
  $("state").className = kind;
}

// What the token says of its owner; the server checks it, this page only needs the names.
function read(text) {
  const part = text.split(".")[1] ?? "";
  const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const claims = JSON.parse(new TextDecoder().decode(bytes));
  user = claims.sub;
  tenant = claims.tenant_id ?? "";
}

function headers() {
  const all = { Authorization: `Bearer ${token}`, "X-User-ID": user, "Content-Type": "application/json" };
  if (tenant) all["X-Tenant-ID"] = tenant; // a token of this server's own has none: refresh() learns it
  return all;
}

async function call(method, path, body) {
  const answer = await fetch(API + path, { method, headers: headers(), body: body && JSON.stringify(body) });
  const envelope = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(envelope.message), { status: answer.status, data: envelope.data });
  return envelope.data;
}

const isWaiting = (r) => r?.status === "pending" && r.expiresAt * 1000 > Date.now();
const newestFirst = (a, b) => b.createdAt - a.createdAt || (a.requestId < b.requestId ? -1 : 1);
const waiting = () => [...requests.values()].filter(isWaiting).sort(newestFirst);

function left(request) {
  const seconds = Math.max(0, Math.round(request.expiresAt - Date.now() / 1000));
  return seconds >= 60 ? `${Math.floor(seconds / 60)} min left` : `${seconds} s left`;
}

function row(request) {
  const item = element("li", undefined, { role: "option", id: `r-${request.requestId}`,
    "aria-selected": String(request.requestId === chosen) });
  const line = element("small");
  line.append(element("span", request.actionType), element("span", left(request)));
  item.append(element("b", request.message), line);
  item.addEventListener("click", () => choose(request.requestId));
  return item;
}

function verdict(request) {
  const status = request.status === "pending" ? "expired" : request.status;
  return element("span", request.decidedBy ? `${status} by ${request.decidedBy}` : status, { class: status });
}

function doneRow(request) {
  const item = element("li"), line = element("small");
  line.append(element("span", request.message), verdict(request));
  item.append(line);
  if (request.reason) item.append(element("small", `“${request.reason}”`));
  return item;
}

// What is chosen changes by the reader's hand alone: where somebody else has decided it, or its time
// is over, it stays and says so, lest a key that was meant for it meets the next one.
function show() {
  const open = waiting();
  if (!chosen && open.length > 0) chosen = open[0].requestId;
  if ($("approve") && !isWaiting(requests.get(chosen))) showDetail();
  $("count").textContent = String(open.length);
  document.title = `${open.length > 0 ? `(${open.length}) ` : ""}lunacast · approvals`;
  $("waiting").replaceChildren(...open.map(row));
  if (open.length === 0) $("waiting").append(element("p", "Nothing waits.", { class: "empty" }));
  const done = [...requests.values()].filter((r) => !isWaiting(r))
    .sort((a, b) => (b.decidedAt ?? b.expiresAt) - (a.decidedAt ?? a.expiresAt));
  $("done").replaceChildren(...done.slice(0, 50).map(doneRow));
  $("waiting").setAttribute("aria-activedescendant", isWaiting(requests.get(chosen)) ? `r-${chosen}` : "");
}

function fact(list, name, value) {
  if (value) list.append(element("dt", name), element("dd", value));
}

function showDetail() {
  const request = requests.get(chosen);
  if (!request) {
    $("detail").replaceChildren(element("p", "Nothing is chosen.", { class: "empty" }));
    return;
  }
  const facts = element("dl");
  fact(facts, "action", request.actionType);
  fact(facts, "session", request.sessionId);
  fact(facts, "asked by", request.askedBy);
  fact(facts, "for", request.who && (request.who.role ? `role ${request.who.role}` : request.who.user));
  fact(facts, "since", new Date(request.createdAt * 1000).toLocaleTimeString());
  const parts = [element("h3", request.message), facts];
  if (request.context !== undefined) parts.push(element("pre", JSON.stringify(request.context, null, 2)));
  parts.push(...(isWaiting(request) ? controls() : [verdict(request)]));
  $("detail").replaceChildren(...parts);
}

function controls() {
  const reason = element("textarea", undefined, { rows: "2", maxlength: "2000", id: "reason" });
  const label = element("label", "Reason");
  label.append(reason);
  const actions = element("div", undefined, { class: "actions" });
  const approve = element("button", "Approve", { class: "approve", id: "approve" });
  const reject = element("button", "Reject", { class: "reject", id: "reject" });
  approve.addEventListener("click", () => decide("approve"));
  reject.addEventListener("click", () => decide("reject"));
  actions.append(approve, reject);
  return [label, actions];
}

function choose(id) {
  chosen = id;
  show();
  showDetail();
}

function take(request) {
  requests.set(request.requestId, request);
  const before = chosen;
  show();
  if (chosen !== before || request.requestId === chosen) showDetail();
}

async function decide(how) {
  const request = requests.get(chosen);
  if (!request || !isWaiting(request) || deciding) return;
  const reason = $("reason")?.value.trim() || undefined;
  deciding = true;
  for (const button of document.querySelectorAll(".actions button")) button.disabled = true;
  try {
    const decided = await call("POST", `/${how}/${request.requestId}`, { userId: user, reason });
    take(decided);
    if (chosen === decided.requestId) choose(null); // on to the next one
    say(`${how === "approve" ? "approved" : "rejected"}: ${request.message}`, "good");
  } catch (e) {
    if (e.data?.requestId) take(e.data);
    say(e.message, "bad");
    for (const button of document.querySelectorAll(".actions button")) button.disabled = false;
  }
  deciding = false;
}

// Events by fetch, since an EventSource can't send the token as a header.
async function* events(signal) {
  const answer = await fetch(`${API}/inbox`, { headers: { ...headers(), Accept: "text/event-stream" }, signal });
  if (!answer.ok) throw Object.assign(new Error((await answer.json()).message), { status: answer.status });
  say("live", "good");
  await refresh();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let at = text.indexOf("\n\n"); at >= 0; at = text.indexOf("\n\n")) {
      const block = text.slice(0, at);
      text = text.slice(at + 2);
      const data = block.split("\n").filter((l) => l.startsWith("data:")).map((l) => l.slice(5).trimStart());
      if (/^event: ?hitl$/m.test(block)) yield JSON.parse(data.join("\n"));
    }
  }
}

async function refresh() {
  const found = await call("GET", "/requests");
  tenant = found.tenant;
  for (const request of found.items) requests.set(request.requestId, request);
  show();
  showDetail();
}

async function follow() {
  following?.abort();
  const { signal } = (following = new AbortController());
  for (let pause = 500; !signal.aborted; pause = Math.min(pause * 2, 10000)) {
    try {
      for await (const { request } of events(signal)) {
        take(request);
        pause = 500;
      }
    } catch (e) {
      if (signal.aborted) return;
      if (e.status === 401 || e.status === 403) return leave(e.message);
    }
    say("waiting for the server", "bad");
    await new Promise((done) => setTimeout(done, pause * (0.5 + Math.random())));
  }
}

function leave(message) {
  following?.abort();
  sessionStorage.removeItem("approvals-token");
  token = "";
  requests.clear();
  chosen = null;
  showDetail();
  $("work").hidden = true;
  $("login").hidden = false;
  say(message, "bad");
}

function enter(text) {
  token = text.trim().replace(/^Bearer /i, "");
  try {
    read(token);
  } catch {
    return leave("this is no token");
  }
  sessionStorage.setItem("approvals-token", token);
  $("login").hidden = true;
  $("work").hidden = false;
  $("waiting").focus();
  follow();
}

$("login").addEventListener("submit", (e) => {
  e.preventDefault();
  enter(new FormData(e.target).get("token"));
});

function step(by) {
  const open = waiting();
  const at = open.findIndex((r) => r.requestId === chosen);
  const next = open[Math.min(Math.max(at + by, 0), open.length - 1)];
  if (next) choose(next.requestId);
}

const KEYS = {
  j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
  a: () => decide("approve"), r: () => $("reason")?.focus(),
};

document.addEventListener("keydown", (e) => {
  const inField = e.target.matches("input, textarea");
  if (e.key === "Escape" && inField) {
    e.target.blur();
    $("waiting").focus();
  } else if (e.key === "Enter" && e.target.id === "reason" && !e.shiftKey) {
    e.preventDefault();
    decide("reject");
  } else if (!inField && !e.ctrlKey && !e.metaKey && !e.altKey && KEYS[e.key]) {
    e.preventDefault();
    if (!e.repeat || e.key !== "a") KEYS[e.key]();
  }
});

setInterval(() => {
  if (requests.size > 0) show();
}, 1000);

if (token) enter(token);
