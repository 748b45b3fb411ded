// clients/c says and tells what spec/protocol says that a client does.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CClient } from "./c_client.mjs";
import { run, transcripts } from "./transcript.mjs";

describe("clients/c", () => {
  for (const play of transcripts()) {
    it(`keeps to ${play.name}: ${play.title}`, async () => {
      const clients = [];
      await run(play, class extends CClient {
        constructor(...options) {
          super(...options);
          clients.push(this);
        }
      });
      // AddressSanitizer has its say at the end of the process.
      for (const client of clients) assert.equal(await client.ended, 0);
    });
  }
});
