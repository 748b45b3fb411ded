export type Curve = "P-256" | "X25519";

/** A message that can't be opened, or must not be. */
export class SealError extends Error {
  constructor(code: string, message: string);
  /** "not_opened", "replay", "out_of_order", "not_sealed", "bad_key", "untrusted", "used_up" */
  readonly code: string;
}

/** A key pair for an agreement; its private half can't be read out. */
export class KeyPair {
  static generate(curve?: Curve): Promise<KeyPair>;
  readonly curve: Curve;
  /** The public key in raw form. */
  readonly raw: Uint8Array;
  /** The same as base64url, to be given to the other side. */
  readonly publicKey: string;
}

/** A key that clients share, for publish and subscribe as `key`. */
export class SharedKey {
  /** @param key 32 bytes */
  constructor(key: Uint8Array);
  static generate(): SharedKey;
  /** From the text that export() gave. */
  static from(text: string): SharedKey;
  /** The key that two clients share. */
  static agree(pair: KeyPair, publicKey: string): Promise<SharedKey>;
  /** To be handed to other clients by a way that the server does not see. */
  export(): string;
  seal(topic: string, payload: unknown): Promise<{ sealed: string }>;
  /** @param place the subscription that it came by: a number passes once in each */
  open(topic: string, payload: unknown, place?: string): Promise<any>;
}

/** Both directions of a sealed connection. */
export class Channel {
  static from(secret: Uint8Array, salt: Uint8Array, send: string, receive: string): Promise<Channel>;
  seal(text: string): Promise<string>;
  open(text: string): Promise<string>;
}

export function greet(options?: { curve?: Curve; trust?: { keys: object[] } }): Promise<{
  hello: string;
  finish(answer: { connection: string; key: string; proof?: string }): Promise<Channel>;
}>;

/** Bytes as base64url without padding. */
export function encode(data: Uint8Array): string;
export function decode(text: string): Uint8Array;
