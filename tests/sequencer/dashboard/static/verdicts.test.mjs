// A challenger's word is shown for the venue and batch that it is about, and its silence is said.
import assert from "node:assert/strict";
import { test } from "node:test";
import { heard, read, UNHEARD, wordOf } from "../../../../sequencer/dashboard/static/verdicts.js";

const venue = { chain_id: 31337, rollup_address: `0x${"AB".repeat(20)}` };
const valid = { batch: 1, batch_hash: "0xA1", verdict: "valid", reason: "", sentence: "", chunk: null, is_rolled_back: false, judged_at_ms: 5 };
const fraud = { ...valid, batch: 2, batch_hash: "0xa2", verdict: "fraud", chunk: 3 };
const unknown = { ...valid, batch: 3, batch_hash: "0xa3", verdict: "unknown", reason: "DESCENDANT", sentence: "It falls." };
const told = { chain_id: 31337, rollup_address: `0x${"ab".repeat(20)}`, now_ms: 100_000, heard_ms: 99_000, valid_tip: 1, verdicts: [unknown, fraud, valid] };

test("each batch has its word", () => {
  const { judged, trouble, validTip } = read(told, venue);
  assert.deepEqual([trouble, validTip, judged.size], ["", 1, 3]);
  assert.deepEqual(["0xa1", "0xa2", "0xa3", "0xa4"].map((hash) => wordOf(judged.get(hash)).word), ["✓ valid", "✗ fraud", "? unknown", "not judged yet"]);
  assert.match(wordOf(fraud).title, /^Chunk 3 /);
  assert.equal(wordOf(unknown).title, "DESCENDANT: It falls.");
  assert.equal(wordOf({ ...fraud, is_rolled_back: true }).word, "✗ fraud, undone");
});

test("another venue's, and what is no monitor's, is nobody's word", () => {
  assert.match(read({ ...told, chain_id: 1 }, venue).trouble, /another venue/);
  assert.match(read({ ...told, rollup_address: `0x${"00".repeat(20)}` }, venue).trouble, /another venue/);
  assert.equal(read({ ...told, chain_id: 1 }, venue).judged.size, 0);
  for (const wrong of [null, [], {}, { ...told, verdicts: 1 }, { ...told, heard_ms: "x" }]) assert.match(read(wrong, venue).trouble, /no challenger/);
  assert.equal(read({ ...told, verdicts: [null, {}, { ...valid, verdict: "<b>" }, valid] }, venue).judged.size, 1);
});

test("silence is said, and what was known stays", async () => {
  assert.match(read({ ...told, heard_ms: 0 }, venue).trouble, /has not heard L1 for 2 min/);
  const before = await heard("http://c/", venue, UNHEARD, async (url) => {
    assert.equal(url, "http://c/verdicts");
    return /** @type {any} */ ({ json: async () => told });
  });
  assert.deepEqual([before.trouble, before.judged.size], ["", 3]);
  const after = await heard("http://c", venue, before, async () => { throw new TypeError("refused"); });
  assert.match(after.trouble, /is silent/);
  assert.equal(after.judged.size, 3);
});
