// What batches cost is added up as far as it is known, and said of a day at the rate of these where they are of less.
import assert from "node:assert/strict";
import { test } from "node:test";
import { summed } from "../../../../sequencer/dashboard/static/l1events.js";

const HOUR = 3_600;
/** The newest first, an hour apart. */
const batches = (count) => Array.from({ length: count }, (_, at) => ({ number: count - at, batch_hash: `0x${at}`, committed_at: 1_000_000 - at * HOUR }));
const costs = (count, wei = 10n) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`0x${at}`, { gas: 5, wei }]));

test("all batches of a venue are all of its day", () => {
  assert.deepEqual(summed(batches(3), costs(3), 200), { wei: 30n, gas: 15, count: 3, unknown: 0, isAll: true, isWholeDay: true, dayWei: 30n });
});

test("of those that reach further than a day a day's are told apart", () => {
  const found = summed(batches(30), costs(30), 30);
  assert.deepEqual([found.wei, found.dayWei, found.isAll, found.isWholeDay], [300n, 240n, false, true]);
});

test("of those that reach less far the rate is told", () => {
  // Nine intervals of an hour were paid for by the nine batches that ended them.
  const found = summed(batches(10), costs(10), 10);
  assert.deepEqual([found.wei, found.dayWei, found.isAll, found.isWholeDay], [100n, 240n, false, false]);
  assert.equal(summed(batches(1), costs(1), 1).dayWei, null);
});

test("what is not known is counted as that, and not as nothing", () => {
  const found = summed(batches(3), { ...costs(1), "0x1": null }, 200);
  assert.deepEqual([found.wei, found.count, found.unknown], [10n, 1, 2]);
  assert.equal(summed(batches(3), {}, 200).dayWei, null);
});
