/**
 * <live-svg src="/stream/a" alt="...">: a live picture in place, as many per page as one likes.
 *
 *   <script type="module" src="/pubsub/live-svg.mjs"></script>
 *   <live-svg src="/stream/lamp" alt="the lamp"><img src="/svg/lamp" alt="the lamp"></live-svg>
 *
 * All pictures of an origin share one WebSocket (a further one for each PICTURES_MAX), where an <img>
 * on a stream would take one of the six connections that a browser opens to a host. Where no
 * WebSocket gets through, the pictures are asked for every POLL_MS with an ETag. What the element
 * holds before is shown until the first picture is there.
 *
 * A picture is a stranger's: it is shown by an <img>, in which nothing runs and nothing is loaded.
 *
 *   connecting --first picture--> live --connection lost--> waiting --picture--> live
 *   any --the session is gone--> ended --RETRY_MS--> connecting
 */

import { Client } from "./lunacast.mjs";

const PICTURES_MAX = 100; // of a connection; the server allows 128 subscriptions
const POLL_MS = 2000;
const RETRY_MS = 4000;
const POLL_AFTER = 2; // attempts to connect that came to nothing

const later = (ms, fn) => setTimeout(fn, ms * (0.5 + Math.random()));

/** One connection, and the pictures on it. */
class Line {
  #origin;
  #client;
  #viewers = new Map(); // path -> Set of elements
  #newest = new Map(); // path -> { svg, tag }
  #failures = 0;
  #poll = null;

  constructor(origin, options) {
    this.#origin = origin;
    const url = new URL("/ws", origin);
    url.protocol = url.protocol.replace("http", "ws");
    this.#client = new Client(url, { ...options, transport: "ws" });
    this.#client.onstate = (state) => this.#changed(state);
  }

  get size() {
    return this.#viewers.size;
  }

  has(path) {
    return this.#viewers.has(path);
  }

  add(path, element) {
    const viewers = this.#viewers.get(path);
    if (viewers) {
      viewers.add(element);
      const newest = this.#newest.get(path);
      if (newest) element.take(newest.svg);
      return;
    }
    this.#viewers.set(path, new Set([element]));
    this.#client.watch(path, (svg, error) => this.#take(path, svg, error));
  }

  /** True: nobody is left. */
  remove(path, element) {
    const viewers = this.#viewers.get(path);
    viewers?.delete(element);
    if (viewers?.size === 0) {
      this.#viewers.delete(path);
      this.#newest.delete(path);
      this.#client.unwatch(path);
    }
    if (this.#viewers.size > 0) return false;
    this.#stopAsking();
    this.#client.close();
    return true;
  }

  #each(path, fn) {
    for (const element of this.#viewers.get(path) ?? []) fn(element);
  }

  #take(path, svg, error, tag = null) {
    if (svg === null) return this.#gone(path, error);
    const same = this.#newest.get(path)?.svg === svg;
    this.#newest.set(path, { svg, tag });
    this.#each(path, (element) => (same ? element.become("live") : element.take(svg)));
  }

  #gone(path, error) {
    this.#newest.delete(path);
    this.#each(path, (element) => element.become(error.code === "not_found" ? "ended" : "waiting"));
    later(RETRY_MS, () => {
      if (this.#viewers.has(path)) this.#client.watch(path, (...args) => this.#take(path, ...args));
    });
  }

  #changed(state) {
    if (state === "open") {
      this.#failures = 0;
      return this.#stopAsking();
    }
    if (state !== "waiting") return;
    for (const path of this.#viewers.keys()) this.#each(path, (element) => element.become("waiting"));
    if (++this.#failures >= POLL_AFTER) this.#poll ??= setTimeout(() => this.#ask(), 0);
  }

  #stopAsking() {
    clearTimeout(this.#poll);
    this.#poll = null;
  }

  // While there is no connection: one picture after the other, so that it takes one connection.
  async #ask() {
    for (const path of [...this.#viewers.keys()]) {
      if (this.#poll === null) return;
      await this.#askFor(path).catch(() => {}); // the server is away: so it is for the next one
    }
    if (this.#poll !== null) this.#poll = later(POLL_MS, () => this.#ask());
  }

  async #askFor(path) {
    const tag = this.#newest.get(path)?.tag;
    const answer = await fetch(new URL(path.replace("/stream/", "/svg/"), this.#origin),
      { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    if (answer.status === 200) this.#take(path, await answer.text(), null, answer.headers.get("ETag"));
    else if (answer.status === 304) this.#each(path, (element) => element.become("live"));
    else if (answer.status === 404) this.#each(path, (element) => element.become("ended"));
  }
}

/** The lines of the page. */
const lines = new Map(); // origin -> Line[]

function lineFor(origin, path, options) {
  const all = lines.get(origin) ?? [];
  lines.set(origin, all);
  let line = all.find((one) => one.has(path)) ?? all.find((one) => one.size < PICTURES_MAX);
  if (!line) all.push(line = new Line(origin, options));
  return line;
}

function leave(origin, line, path, element) {
  if (!line.remove(path, element)) return;
  const rest = lines.get(origin).filter((one) => one !== line);
  if (rest.length > 0) lines.set(origin, rest);
  else lines.delete(origin);
}

const STYLE = ":host{display:inline-block}:host([hidden]){display:none}" +
  "img{display:block;width:100%;height:100%;object-fit:contain}img:not([src]){display:none}";

/** A style that needs no 'unsafe-inline' of the page's policy. */
function style(root) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
}

export class LiveSvg extends HTMLElement {
  static observedAttributes = ["src", "alt"];
  /** Of the connections that are opened from now on: auth, WebSocket ... */
  static options = {};

  #img = document.createElement("img");
  #slot = document.createElement("slot");
  #state = "connecting";
  #line = null;
  #at = null; // { origin, path }
  #url = null;
  #svg = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    style(root);
    this.#img.alt = "";
    this.#img.addEventListener("error", () => this.#inline());
    root.append(this.#img, this.#slot);
  }

  get src() {
    return this.getAttribute("src") ?? "";
  }

  set src(value) {
    this.setAttribute("src", value);
  }

  get alt() {
    return this.getAttribute("alt") ?? "";
  }

  set alt(value) {
    this.setAttribute("alt", value);
  }

  get state() {
    return this.#state;
  }

  connectedCallback() {
    this.#begin();
  }

  disconnectedCallback() {
    this.#end();
    if (this.#url) URL.revokeObjectURL(this.#url); // what is painted stays
    this.#url = null;
  }

  attributeChangedCallback(name) {
    if (name === "alt") this.#img.alt = this.alt;
    else if (this.isConnected) this.#begin();
  }

  #begin() {
    this.#end();
    if (this.src === "") return;
    const { origin, pathname } = new URL(this.src, document.baseURI);
    this.#at = { origin, path: pathname };
    this.#line = lineFor(origin, pathname, LiveSvg.options);
    this.become("connecting");
    this.#line.add(pathname, this);
  }

  #end() {
    if (this.#line) leave(this.#at.origin, this.#line, this.#at.path, this);
    this.#line = null;
  }

  /** A picture has come. */
  take(svg) {
    this.#svg = svg;
    const old = this.#url;
    this.#url = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    // The one before stays on the screen until this one can be painted, and its URL as long.
    this.#img.addEventListener("load", () => old && URL.revokeObjectURL(old), { once: true });
    this.#img.src = this.#url;
    this.#slot.remove();
    this.replaceChildren(); // what stood in for it holds no connection any more
    this.become("live");
  }

  // A page whose policy lets no blob: into an <img> may let data: in.
  #inline() {
    if (this.#svg === null || !this.#img.src.startsWith("blob:")) return;
    this.#img.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(this.#svg);
  }

  become(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.dispatchEvent(new CustomEvent("live-svg-state", { detail: state }));
  }
}

customElements.define("live-svg", LiveSvg);
