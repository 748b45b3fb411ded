/**
 * Encryption for lunacast by WebCrypto, in browsers and Node (docs/protocol.md, "Sealed connections"
 * and "End to end"). lunacast.mjs loads it when it is asked to seal.
 *
 * A nonce is an iv with a number that only grows, so none is used twice. Keys can't be exported from
 * WebCrypto and are gone with the objects that hold them.
 */

const SEED_BITS = 352; // a key of 32 bytes and an iv of 12
const SENDERS_MAX = 1000;
const NUMBER_MAX = 2 ** 32;
const bytes = (text) => new TextEncoder().encode(text);

/** A message that can't be opened, or must not be. `code`: "not_opened", "replay", "out_of_order" ... */
export class SealError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "SealError";
    this.code = code;
  }
}

export function encode(data) {
  let text = "";
  for (let i = 0; i < data.length; i += 8192) {
    text += String.fromCharCode(...data.subarray(i, i + 8192));
  }
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export function decode(text) {
  if (typeof text !== "string" || !/^[\w-]*$/.test(text)) {
    throw new SealError("not_opened", "this is not base64url");
  }
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (c) => c.charCodeAt(0));
}

function join(...parts) {
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function compare(a, b) {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at < 0 ? 0 : a[at] - b[at];
}

async function sha256(data) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
}

async function hkdf(secret, salt, info, bits) {
  const key = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const params = { name: "HKDF", hash: "SHA-256", salt, info: bytes(info) };
  return new Uint8Array(await crypto.subtle.deriveBits(params, key, bits));
}

/** One direction: a key, and the number of the message before. */
class Way {
  #key;
  #iv;
  last = 0;

  static async from(secret, salt, info, usage) {
    const seed = await hkdf(secret, salt, info, SEED_BITS);
    const way = new Way();
    way.#iv = seed.slice(32);
    way.#key = await crypto.subtle.importKey("raw", seed.subarray(0, 32), "AES-GCM", false, [usage]);
    seed.fill(0);
    return way;
  }

  #params(number, aad) {
    const iv = this.#iv.slice();
    const view = new DataView(iv.buffer);
    view.setUint32(4, view.getUint32(4) ^ Math.floor(number / 2 ** 32));
    view.setUint32(8, view.getUint32(8) ^ number % 2 ** 32);
    return { name: "AES-GCM", iv, additionalData: aad };
  }

  /** The number is taken at once: calls that overlap get different ones. */
  async seal(plain, aad = new Uint8Array()) {
    if (this.last >= NUMBER_MAX) throw new SealError("used_up", "this key has sealed enough");
    const number = ++this.last;
    const sealed = await crypto.subtle.encrypt(this.#params(number, aad), this.#key, bytes(plain));
    return [number, encode(new Uint8Array(sealed))];
  }

  async open(number, data, aad = new Uint8Array()) {
    const sealed = decode(data);
    try {
      const plain = await crypto.subtle.decrypt(this.#params(number, aad), this.#key, sealed);
      return new TextDecoder("utf-8", { fatal: true }).decode(plain);
    } catch {
      throw new SealError("not_opened", "this was not sealed with the same key, or was changed");
    }
  }
}

function numberOf(text) {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new SealError("not_opened", "this has no number");
  return Number(text);
}

/** Both directions of a sealed connection. One call at a time of each kind. */
export class Channel {
  #out;
  #in;

  static async from(secret, salt, send, receive) {
    const channel = new Channel();
    channel.#out = await Way.from(secret, salt, send, "encrypt");
    channel.#in = await Way.from(secret, salt, receive, "decrypt");
    return channel;
  }

  async seal(text) {
    const [number, data] = await this.#out.seal(text);
    return `sealed:${number}:${data}`;
  }

  async open(text) {
    const [word, digits, data, more] = text.split(":");
    if (word !== "sealed" || data === undefined || more !== undefined) {
      throw new SealError("not_sealed", "this message came in the clear");
    }
    const number = numberOf(digits);
    if (number <= this.#in.last) throw new SealError("replay", "this message has come before");
    if (number !== this.#in.last + 1) throw new SealError("out_of_order", "a message is missing");
    const plain = await this.#in.open(number, data);
    this.#in.last = number;
    return plain;
  }
}

/** A key pair for an agreement: P-256, or X25519 where WebCrypto knows it. */
export class KeyPair {
  #keys;
  curve;
  /** The public key in raw form. @type {Uint8Array} */
  raw;

  static async generate(curve = "P-256") {
    const pair = new KeyPair();
    pair.curve = curve;
    pair.#keys = await crypto.subtle.generateKey(algorithm(curve), false, ["deriveBits"]);
    pair.raw = new Uint8Array(await crypto.subtle.exportKey("raw", pair.#keys.publicKey));
    return pair;
  }

  /** The public key as it goes over the wire. */
  get publicKey() {
    return encode(this.raw);
  }

  async secret(raw) {
    const algo = algorithm(this.curve);
    let other;
    try {
      other = await crypto.subtle.importKey("raw", raw, algo, true, []);
      const params = { name: algo.name, public: other };
      return new Uint8Array(await crypto.subtle.deriveBits(params, this.#keys.privateKey, 256));
    } catch {
      throw new SealError("bad_key", `that is no public key of ${this.curve}`);
    }
  }
}

function algorithm(curve) {
  return curve === "P-256" ? { name: "ECDH", namedCurve: "P-256" } : { name: curve };
}

/**
 * The client's side of the agreement: `hello` is what to send, `finish` takes the answer.
 * @param {{ curve?: string, trust?: { keys: object[] } }} [options] trust: the server's JWKS
 */
export async function greet({ curve = "P-256", trust } = {}) {
  const pair = await KeyPair.generate(curve);
  const hello = { key: pair.publicKey, curve, ...(trust ? { prove: true } : {}) };
  return {
    hello: "hello-json:" + JSON.stringify(hello),
    async finish(answer) {
      if (trust) await checkProof(answer, pair.publicKey, trust);
      const raw = decode(answer.key);
      const secret = await pair.secret(raw);
      const words = bytes(["lunacast sealed 1", curve, answer.connection, ""].join("\0"));
      const salt = await sha256(join(words, pair.raw, raw));
      const channel = await Channel.from(secret, salt, "client", "server");
      secret.fill(0);
      return channel;
    },
  };
}

// A JWT of one of the trusted RSA keys that names both keys and the connection.
async function checkProof(answer, clientKey, trust) {
  const untrusted = (why) => new SealError("untrusted", `the server's key is not proved: ${why}`);
  const [head, body, signature] = String(answer.proof ?? "").split(".");
  if (!signature) throw untrusted("there is no proof");
  const parse = (part) => JSON.parse(new TextDecoder().decode(decode(part)));
  const { kid, alg } = parse(head);
  const jwk = trust.keys.find((key) => key.kid === kid && key.kty === "RSA");
  if (!jwk || alg !== "RS256") throw untrusted("it is not signed by a trusted key");
  const algo = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  const { n, e, kty } = jwk;
  const key = await crypto.subtle.importKey("jwk", { n, e, kty }, algo, false, ["verify"]);
  const text = bytes(`${head}.${body}`);
  if (!await crypto.subtle.verify(algo, key, decode(signature), text)) throw untrusted("the signature is wrong");
  const claims = parse(body);
  if (claims.aud !== "sealed" || claims.client !== clientKey || claims.server !== answer.key ||
      claims.connection !== answer.connection) {
    throw untrusted("it is for another connection");
  }
}

/** A key that clients share, to be given to publish and subscribe as `key`. */
export class SharedKey {
  #bytes;
  #name = null; // of this sender
  #way = null;
  #senders = new Map(); // name -> Promise of its Way
  #numbers = new Map(); // "place sender" -> the number before

  /** @param {Uint8Array} key 32 bytes */
  constructor(key) {
    if (!(key instanceof Uint8Array) || key.length !== 32) {
      throw new TypeError("a shared key has 32 bytes");
    }
    this.#bytes = key.slice();
  }

  static generate() {
    return new SharedKey(crypto.getRandomValues(new Uint8Array(32)));
  }

  /** From text that export() gave. @param {string} text */
  static from(text) {
    return new SharedKey(decode(text));
  }

  /** The key that two clients share. @param {KeyPair} pair @param {string} publicKey the other's */
  static async agree(pair, publicKey) {
    const other = decode(publicKey);
    const secret = await pair.secret(other);
    const salt = await sha256(join(...[pair.raw, other].sort(compare)));
    const key = new SharedKey(await hkdf(secret, salt, "lunacast pair 1", 256));
    secret.fill(0);
    return key;
  }

  export() {
    return encode(this.#bytes);
  }

  #wayOf(name, usage) {
    return Way.from(this.#bytes, decode(name), "lunacast end to end 1", usage);
  }

  /** What to publish instead of the payload. */
  async seal(topic, payload) {
    this.#name ??= encode(crypto.getRandomValues(new Uint8Array(16)));
    this.#way ??= this.#wayOf(this.#name, "encrypt");
    const [number, data] = await (await this.#way).seal(JSON.stringify(payload), bytes(topic));
    return { sealed: `${this.#name}.${number}.${data}` };
  }

  /** The payload that was sealed; `place` is the subscription that it came by. */
  async open(topic, payload, place = topic) {
    if (typeof payload?.sealed !== "string") {
      throw new SealError("not_sealed", "this payload came in the clear");
    }
    const [name, digits, data, more] = payload.sealed.split(".");
    if (data === undefined || more !== undefined || name.length !== 22) {
      throw new SealError("not_opened", "this is not a sealed payload");
    }
    const number = numberOf(digits);
    const seen = `${name} ${place}`;
    if (number <= (this.#numbers.get(seen) ?? 0)) {
      throw new SealError("replay", "this message has come before");
    }
    if (!this.#senders.has(name)) this.#keep(this.#senders, name, this.#wayOf(name, "decrypt"));
    const plain = await (await this.#senders.get(name)).open(number, data, bytes(topic));
    this.#keep(this.#numbers, seen, number);
    return JSON.parse(plain);
  }

  // The newest entries only: who is forgotten is taken for new.
  #keep(map, name, value) {
    map.delete(name);
    map.set(name, value);
    if (map.size > SENDERS_MAX) map.delete(map.keys().next().value);
  }
}
