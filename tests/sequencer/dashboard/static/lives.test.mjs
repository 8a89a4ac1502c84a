// How long an order lives, what kind it is, how it ended; and a sentence for each code.
import assert from "node:assert/strict";
import { test } from "node:test";
import { averageOf, endOf, endsSoon, guards, kindOf } from "../../../../sequencer/dashboard/static/lives.js";
import { codeOf, said, sentenceOf, within } from "../../../../sequencer/dashboard/static/reasons.js";

const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000];
const NOW = 1_900_000_000_000;
const terms = (more) => ({ trigger: 0, time_in_force: 0, post_only: false, reduce_only: false, ...more });

test("a kind is told as its owner chose it", () => {
  assert.equal(kindOf(terms({}), "buy"), "limit");
  assert.equal(kindOf(terms({ time_in_force: 1 }), "buy"), "limit, IOC");
  assert.equal(kindOf(terms({ post_only: true }), "sell"), "limit, post-only");
  // Below the price a long is stopped and a short takes its profit; above it the other way round.
  assert.equal(kindOf(terms({ trigger: 2, time_in_force: 1, reduce_only: true }), "sell"), "stop, reduce-only");
  assert.equal(kindOf(terms({ trigger: 1, time_in_force: 1, reduce_only: true }), "sell"), "take profit, reduce-only");
  assert.equal(kindOf(terms({ trigger: 1 }), "buy"), "stop limit");
  assert.deepEqual([guards(terms({ trigger: 1 })), guards(terms({ reduce_only: true })), guards(terms({ trigger: 2, reduce_only: true }))], [false, false, true]);
});

test("an end is near in the last quarter of a life, and in the last day of a long one", () => {
  const ends = (life, left) => endsSoon({ expires_at_ms: NOW + left, sequence: NOW + left - life }, NOW);
  assert.deepEqual([ends(HOUR, 16 * MINUTE), ends(HOUR, 15 * MINUTE)], [false, true]);
  assert.deepEqual([ends(30 * DAY, 25 * HOUR), ends(30 * DAY, DAY)], [false, true]);
  // A program's sequence may be no time.
  assert.deepEqual([7 * HOUR, 6 * HOUR].map((left) => endsSoon({ expires_at_ms: NOW + left, sequence: 7 }, NOW)), [false, true]);
});

test("an end has a time and a reason, and was asked for or not", () => {
  const step = (reason, detail = "") => [{ time_ms: 5, reason, detail }];
  assert.equal(endOf({ status: "armed", reason: "", events: step("") }), null);
  assert.deepEqual(endOf({ status: "filled", reason: "", events: step("") }), { at: 5, reason: "", detail: "", isUnasked: false });
  assert.deepEqual(endOf({ status: "expired", reason: "expired", events: step("expired") }), { at: 5, reason: "expired", detail: "", isUnasked: true });
  assert.deepEqual(endOf({ status: "expired", reason: "UNCROSSED", events: step("unfilled", "UNCROSSED") }), { at: 5, reason: "unfilled", detail: "UNCROSSED", isUnasked: true });
  assert.equal(endOf({ status: "cancelled", reason: "cancelled", events: step("cancelled") })?.isUnasked, false);
});

test("an average is told of all fills or of none", () => {
  const fills = [{ size_lots: 1, price_ticks: 10 }, { size_lots: 3, price_ticks: 14 }];
  assert.equal(averageOf({ fills, filled_lots: 4 }), 13n);
  assert.equal(averageOf({ fills, filled_lots: 5 }), null);
  assert.equal(averageOf({ fills: [], filled_lots: 0 }), null);
});

test("a code has its sentence, and what is one already stays", () => {
  assert.equal(said("COLLATERAL"), "It is more than has settled, or nothing may leave: gains and fees mature before they can. (COLLATERAL)");
  assert.equal(within("UNCROSSED"), "nothing more stood within its limit (UNCROSSED)");
  assert.deepEqual([sentenceOf("NEW_RULE"), codeOf("NEW_RULE")], ["The venue does not take it.", "NEW_RULE"]);
  assert.equal(said("cancelled"), "You cancelled it.");
  assert.deepEqual([said("The account has 64 open orders."), codeOf("It is so.")], ["The account has 64 open orders.", ""]);
});
