// Added to every page in development: loads it again when other scripts serve, and shows what is
// wrong with the files above it. The overlay lives in a shadow tree with a constructed stylesheet,
// so that neither the page's styles nor its policy get in the way.
"use strict";
(() => {
  const made = document.currentScript.dataset.scripts;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    :host { all: initial; position: fixed; inset: 0; z-index: 2147483647; display: block }
    section { box-sizing: border-box; height: 100%; overflow: auto; padding: 6vh 5vw;
      background: rgb(12 14 18 / .93); color: #e6eaf0; font: 16px/1.5 system-ui, sans-serif }
    h1 { margin: 0 0 .4em; font-size: 1.3em; color: #ff8b8b; overflow-wrap: anywhere }
    p { margin: 0 0 1em; color: #9aa4b5 }
    code { color: #ffd479 }
    pre { overflow: auto; margin: 0 0 1.2em; padding: 1em; border-radius: .5em; background: #1b2029;
      font: 14px/1.6 ui-monospace, Menlo, Consolas, monospace }
    mark { display: block; background: #5b2226; color: inherit }
    button { position: absolute; top: 1rem; right: 1rem; padding: .4em .9em; font: inherit;
      color: inherit; background: #2b323e; border: 1px solid #465063; border-radius: .4em }
    button:focus-visible { outline: 2px solid #7aa7ff }`);
  let host = null;

  const add = (parent, name, text) => {
    const element = document.createElement(name);
    element.textContent = text;
    parent.append(element);
    return element;
  };

  const hide = () => {
    if (host) host.remove();
    host = null;
  };

  const source = (parent, excerpt) => {
    const pre = add(parent, "pre", "");
    for (const line of excerpt.split("\n"))
      add(pre, line.startsWith(">") ? "mark" : "span", line + (line.startsWith(">") ? "" : "\n"));
  };

  const show = (state) => {
    hide();
    const { error } = state;
    host = document.createElement("lunacast-error");
    const root = host.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    const box = add(root, "section", "");
    box.setAttribute("role", "alertdialog");
    box.setAttribute("aria-label", "The files are wrong");
    add(box, "h1", error.message);
    const place = add(box, "p", "");
    if (error.file) add(place, "code", error.file + (error.line ? ":" + error.line : ""));
    const since = new Date(state.since * 1000).toLocaleTimeString();
    place.append(state.standing_in ? " Nothing is served yet." : ` The scripts of ${since} serve on.`,
      " Save the file, and this goes away.");
    if (error.excerpt) source(box, error.excerpt);
    if (error.trace) add(box, "pre", error.trace);
    const close = add(box, "button", "Close");
    close.onclick = hide;
    document.documentElement.append(host);
    close.focus();
  };

  addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });

  new EventSource("/_dev/events").onmessage = (event) => {
    const state = JSON.parse(event.data);
    if (state.error) show(state);
    else if (state.scripts !== made) location.reload();
    else hide();
  };
})();
