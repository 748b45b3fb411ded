export interface Token {
  token: string;
  /** seconds; absent: good until the server refuses it */
  expires_in?: number;
}

export interface AuthOptions {
  fetch?: typeof globalThis.fetch;
  /** The application's own way to a token, instead of a name and password. */
  source?: () => Promise<Token>;
}

/** What the server said in answer to something that it could not obey. */
export class LunacastError extends Error {
  constructor(body: { error: string; code?: string });
  /** For programs: "bad_topic", "expired" ... */
  readonly code: string | undefined;
  readonly body: { error: string; code?: string; [name: string]: unknown };
  /** Trying again would say the same. */
  readonly final: boolean;
}

/** A token, and how to get the next one. */
export class Auth {
  /** @param url the server's, "https://example.org" */
  constructor(url: string | URL, options?: AuthOptions);
  /**
   * The first use of a name claims it with that password, which is kept for the next token until
   * clearToken. With a session the token is for that one only.
   */
  login(username: string, password: string, session?: string): Promise<string | null>;
  isAuthenticated(): boolean;
  /** A token that is good for a while; a new one when the old one is about to expire. */
  getToken(): Promise<string | null>;
  /** A new token now. */
  refresh(): Promise<string | null>;
  /** The token was refused: the next getToken gets another. */
  expire(): void;
  clearToken(): void;
  /** Milliseconds until the token should be replaced; null: there is none. */
  readonly refreshIn: number | null;
}
