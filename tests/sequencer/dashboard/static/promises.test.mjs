// A promise counts where it is of what was sent, of no less than was filled, and its group leads to a key: seat.test.mjs says whose.
import assert from "node:assert/strict";
import { test } from "node:test";
import { faulty, signerOfPromise, TAGS, takenLots } from "../../../../sequencer/dashboard/static/promises.js";
import { given, needsGiven } from "./given.mjs";

const domain = { chainId: 31337, bridge: `0x${"11".repeat(20)}` };
const NOW = 1_800_000_000_000;
const expectedOf = (one) => ({ tag: one.tag, account: one.account, slot: one.slot, sequence: one.sequence, lots: BigInt(one.filled_lots) });

test("each member of a group leads to the key that signed it", needsGiven, () => {
  for (const { by, ...one } of given.promises) {
    assert.equal(signerOfPromise(one, domain), by);
    assert.equal(faulty(one, expectedOf(one), NOW), null);
    // The last of an odd level stands beside itself.
    const other = one.place ^ 1;
    if (other < given.promises.length) assert.notEqual(signerOfPromise({ ...one, place: other }, domain), by);
    assert.notEqual(signerOfPromise(one, { ...domain, chainId: 1 }), by);
    for (const change of [{ filled_lots: one.filled_lots + 1 }, { time_ms: one.time_ms - 1 }]) {
      assert.notEqual(signerOfPromise({ ...one, ...change }, domain), by);
    }
  }
  assert.equal(signerOfPromise({ ...given.promises[0], path: Array(17).fill(`0x${"00".repeat(32)}`) }, domain), null);
  assert.equal(signerOfPromise({ ...given.promises[0], place: 4 }, domain), null);
});

test("of something else, of fewer lots and of a time to come it is none", needsGiven, () => {
  const [one] = given.promises;
  const expected = expectedOf(one);
  assert.match(faulty(null, expected, NOW), /no signed promise/);
  assert.match(faulty(undefined, expected, NOW), /no signed promise/);
  for (const change of [{ tag: TAGS.withdraw }, { account: 18 }, { slot: 9 }, { sequence: 1 }]) {
    assert.match(faulty(one, { ...expected, ...change }, NOW), /something else/);
  }
  assert.match(faulty(one, { ...expected, lots: 11n }, NOW), /fewer lots/);
  assert.match(faulty(one, expected, NOW - 10_001), /not come/);
});

test("what is promised of an order is what it took at its arrival", () => {
  const fill = (size_lots, time_ms, taker_order_id = "0x1") => ({ size_lots, time_ms, taker_order_id });
  const result = { order_id: "0x1", filled_lots: 9, fills: [fill(3, 5), fill(2, 6), fill(4, 5, "0x2")], acknowledgement: { time_ms: 5 } };
  assert.equal(takenLots(result), 3n);
  assert.equal(takenLots({ ...result, fills: [] }), 9n);
  assert.equal(takenLots({ ...result, acknowledgement: null }), 9n);
});
