// clients/js says and tells what spec/protocol says that a client does.
import { describe, it } from "node:test";
import { run, transcripts } from "./transcript.mjs";

describe("clients/js", () => {
  for (const play of transcripts()) {
    it(`keeps to ${play.name}: ${play.title}`, () => run(play));
  }
});
