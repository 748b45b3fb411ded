/** What the server says, as the client reads it. */

import { LunacastError } from "./auth.mjs";

export function objectOf(text) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    // as if it were null
  }
  if (body !== null && typeof body === "object") return body;
  throw new LunacastError({ error: "the server has sent what is not a JSON object", code: "bad_json" });
}

/** A message as it was published, and not one of the server's own. */
export function isPublished(body) {
  return "payload" in body && !("channel" in body);
}

/** The topic and session in the server's word for them ("pubsub:2:4:" tenant session topic). */
export function placeOf(channel) {
  const [, tenant, session, rest] = /^pubsub:(\d+):(\d+):(.*)$/s.exec(channel) ?? [];
  if (rest === undefined) return null;
  const bytes = new TextEncoder().encode(rest); // the numbers count bytes
  const part = (from, to) => new TextDecoder().decode(bytes.subarray(from, to));
  const at = Number(tenant), end = at + Number(session);
  return { session: part(at, end), topic: part(end) };
}
