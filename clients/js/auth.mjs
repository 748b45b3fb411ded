/** Tokens of the publish/subscribe contract: where they come from, and when the next one is due. */

const REFRESH_AT = 0.8; // of a token's life
const ANSWER_MS = 10000;

/** What the server said in answer to something that it could not obey. */
export class LunacastError extends Error {
  constructor(body) {
    super(body.error);
    this.name = "LunacastError";
    this.code = body.code;
    this.body = body;
  }

  /** Trying again would say the same. */
  get final() {
    return this.code === "wrong_password" || this.code === "invalid";
  }
}

export class Auth {
  #url;
  #fetch;
  #source; // the application's own way to a token
  #login = null;
  #token = null;
  #expires = 0;
  #refresh = 0;
  #coming = null;

  constructor(url, { fetch = globalThis.fetch, source = null } = {}) {
    this.#url = new URL("/auth/token", url);
    this.#fetch = fetch;
    this.#source = source;
  }

  async login(username, password, session) {
    this.#login = { username, password, ...(session === undefined ? {} : { session_id: session }) };
    return this.refresh();
  }

  isAuthenticated() {
    return this.#token !== null && Date.now() < this.#expires;
  }

  /** A token that is good for a while; a new one when the old one is about to expire. */
  async getToken() {
    if (this.#token !== null && Date.now() < this.#refresh) return this.#token;
    if (this.#login === null && this.#source === null) return null;
    return this.refresh();
  }

  /** A new token now; calls that overlap share one. */
  refresh() {
    this.#coming ??= this.#renew().finally(() => (this.#coming = null));
    return this.#coming;
  }

  /** The token was refused: the next getToken gets another. */
  expire() {
    this.#expires = this.#refresh = 0;
  }

  clearToken() {
    this.#token = this.#login = this.#source = null;
    this.expire();
  }

  /** Milliseconds until the token should be replaced; null: there is none. */
  get refreshIn() {
    return this.#token === null ? null : Math.max(0, this.#refresh - Date.now());
  }

  async #renew() {
    const login = this.#login, source = this.#source;
    if (!login && !source) {
      throw new LunacastError({ error: "nobody has logged in", code: "no_login" });
    }
    const { token, expires_in: seconds = Infinity } = source ? await source() : await this.#ask(login);
    if (typeof token !== "string" || token === "" || !(seconds > 0)) {
      throw new LunacastError({ error: "that is no token and its life", code: "bad_answer" });
    }
    if (login !== this.#login || source !== this.#source) return null; // cleared meanwhile
    // Tokens count whole seconds: what is left may be up to a second less than was said.
    const life = Math.max(seconds - 1, 0) * 1000;
    this.#token = token;
    this.#expires = Date.now() + life;
    this.#refresh = Date.now() + life * REFRESH_AT;
    return token;
  }

  async #ask(login) {
    const answer = await this.#fetch.call(globalThis, this.#url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(login),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const body = await answer.json();
    if (!answer.ok) throw new LunacastError(body);
    return body;
  }
}
