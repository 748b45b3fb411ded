import type { Auth, LunacastError } from "./auth.mjs";
import type { SharedKey } from "./seal.mjs";

export { Auth, LunacastError } from "./auth.mjs";
export type { AuthOptions, Token } from "./auth.mjs";

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json | undefined };

/** What is delivered. */
export interface Message<Payload = any> {
  publisher_name: string;
  topic: string;
  payload: Payload;
  timestamp: string;
  session_id?: string;
}

/** Somebody who is there. */
export interface Member {
  user?: string;
  connection: string;
  data?: any;
}

export interface PresenceEvent {
  /** state: the whole list is new */
  type: "join" | "leave" | "state";
  user?: string;
  connection?: string;
  data?: any;
}

export interface Presence {
  topic: string;
  session_id: string;
  members: Member[];
  count: number;
}

export interface History<Payload = any> {
  topic: string;
  session_id: string;
  items: { position: string; data: Message<Payload>; time: number }[];
  position?: string;
  /** false: messages between `since` and the first item are lost */
  recovered?: boolean;
}

/** Messages of a topic may have been missed; without a topic: of any. */
export interface Gap {
  topic?: string;
  session_id?: string;
  lost?: number;
}

export type State = "connecting" | "open" | "waiting" | "closed";

export interface SealOptions {
  /** default "P-256" */
  curve?: "P-256" | "X25519";
  /** The server's JWKS, known from elsewhere: only a server with one of these keys is talked to. */
  trust?: { keys: object[] };
}

/** What is needed of a WebSocket: the browser's, or that of the package ws. */
export interface WebSocketLike {
  readonly readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  onopen: any;
  onmessage: any;
  onerror: any;
  onclose: any;
}

export interface Options {
  /** The client's name; its session is then "session-NAME". */
  name?: string;
  session?: string;
  /** Whose tokens are used. */
  auth?: Auth;
  /** Every message between this client and the server is sealed. */
  seal?: boolean | SealOptions;
  /** auto: WebSocket, and SSE with POST where it is blocked. */
  transport?: "auto" | "ws" | "sse";
  WebSocket?: new (url: string, protocols?: string[]) => WebSocketLike;
  fetch?: typeof globalThis.fetch;
}

export interface SubscribeOptions {
  /** Another session than the client's. */
  session?: string;
  /** After a reconnect go on at the last position, where the server keeps a history. */
  resume?: boolean;
  /** Go on after this position, from an earlier run. */
  since?: string;
  /** So many of the newest messages first. */
  history?: number;
  /** Be present, and know who is. */
  presence?: boolean;
  onpresence?: (event: PresenceEvent, members: Member[]) => void;
  /** Payloads are sealed with this key by who publishes them. */
  key?: SharedKey;
}

export interface PublishOptions {
  session?: string;
  /** Seals the payload for who has the same key; the server can't read it. */
  key?: SharedKey;
}

export type Handler<Payload = any> = (message: Message<Payload>, position?: string) => void;

export interface Subscription {
  readonly topic: string;
  readonly session: string | undefined;
  /** Where a reconnect goes on; null: the server keeps no history of this topic. */
  readonly position: string | null;
  /** Of the last (re)connect: true, nothing was missed; null, nobody knows. */
  readonly recovered: boolean | null;
  readonly members: Member[];
  unsubscribe(): void;
}

export class Client {
  /** ws, wss, http or https; in a browser also relative to the page. Throws where it is no URL. */
  constructor(url: string | URL, options?: Options);

  readonly state: State;
  readonly transport: "ws" | "sse" | null;
  /** The id of a sealed connection. */
  readonly sealed: string | null;

  onstate: (state: State) => void;
  /** What the server could not obey, and what went wrong here. */
  onerror: (error: Error | LunacastError) => void;
  ongap: (gap: Gap) => void;

  /** A further handler of the same topic and session shares the subscription, and its options. */
  subscribe<Payload = any>(topic: string, handler: Handler<Payload>, options?: SubscribeOptions): Subscription;
  /** Without a handler: all of them. */
  unsubscribe(topic: string, handler?: Handler, options?: { session?: string }): void;
  /** Sends, or keeps up to 1,000 messages until there is a connection. Throws when too much waits. */
  publish(topic: string, payload: Json, options?: PublishOptions): void;
  /** Who is there. */
  presence(topic: string, options?: { session?: string }): Promise<Presence>;
  /** What was published before, the oldest first. */
  history<Payload = any>(topic: string, options?: { session?: string; since?: string; limit?: number }): Promise<History<Payload>>;
  /** This client's data in the presence of its topics. */
  setData(data: Json): void;
  /**
   * Follows a live picture on this connection: its SVG, now and whenever it changes, or null and why.
   * One handler for each path; SVG of strangers belongs into an <img>, as <live-svg> does it.
   */
  watch(path: string, handler: (svg: string | null, error: LunacastError | null) => void): void;
  unwatch(path: string): void;
  /** What was published before goes out first; without a connection it is dropped. */
  close(): void;
}

export function connect(url: string | URL, options?: Options): Client;
