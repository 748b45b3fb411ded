import type { Options } from "./lunacast.mjs";

/** `<live-svg src="/stream/a" alt="...">`: a live picture in place, many over one connection. */
export class LiveSvg extends HTMLElement {
  /** Of the connections that are opened from now on: auth, WebSocket ... */
  static options: Options;
  /** The stream's address: "/stream/SESSION" or "/stream/USER/SESSION". */
  src: string;
  alt: string;
  /** "connecting", "live", "waiting" or "ended" */
  readonly state: string;
}

declare global {
  interface HTMLElementTagNameMap {
    "live-svg": LiveSvg;
  }
  interface HTMLElementEventMap {
    "live-svg-state": CustomEvent<string>;
  }
}
