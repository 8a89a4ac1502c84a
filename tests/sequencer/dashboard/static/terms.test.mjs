// What a form leaves open is filled in within the law's bounds, and nothing else is signed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Malformed } from "../../../../sequencer/dashboard/static/bytes.js";
import { whole } from "../../../../sequencer/dashboard/static/terms.js";

const known = {
  nowMs: 1_000_000, lastSequence: 5, slot: 3, postingFeeMicros: 500,
  market: { makerFeePpm: 100, takerFeePpm: 450 }, signer: `0x${"11".repeat(20)}`,
};
const order = { kind: "order", account: 17, market: 0, side: 0, size_lots: "12345678901234567", limit_price_ticks: 600_000 };

test("an order is whole", () => {
  assert.deepEqual(whole(order, known), {
    account: 17, market: 0, side: 0, size_lots: "12345678901234567", limit_price_ticks: 600_000, slot: 3,
    sequence: 1_000_000, created_at_ms: 1_000_000, expires_at_ms: 4_600_000, time_in_force: 0, post_only: false,
    reduce_only: false, trigger: 0, trigger_price_ticks: 0, max_fee_ppm: 450, max_posting_fee_micros: 500,
  });
});

test("a sequence is never used twice, even where the clock stands", () => {
  assert.equal(whole(order, { ...known, lastSequence: 1_000_000 }).sequence, 1_000_001);
});

test("lives are as long as the law lets them", () => {
  const lives = (changes) => {
    const message = whole({ ...order, ...changes }, known);
    return message.expires_at_ms - message.created_at_ms;
  };
  assert.equal(lives({ time_in_force: 1 }), 10_000);
  assert.equal(lives({ reduce_only: true, trigger: 2, trigger_price_ticks: 5 }), 2_592_000_000);
  assert.equal(lives({ expires_at_ms: 1_000_000 + 86_400_000 }), 86_400_000);
  for (const late of [1_000_000 + 86_400_001, 1_000_000]) assert.throws(() => lives({ expires_at_ms: late }), Malformed);
  assert.throws(() => lives({ time_in_force: 1, expires_at_ms: 1_010_001 }), Malformed);
});

test("a cancel is free and soft, a withdrawal goes to who signs", () => {
  assert.deepEqual(whole({ kind: "cancel_all", account: 17 }, known), {
    account: 17, sequence: 1_000_000, created_at_ms: 1_000_000, expires_at_ms: 1_060_000, max_posting_fee_micros: 0,
  });
  const message = whole({ kind: "withdraw", account: 17, amount_micros: "7" }, known);
  assert.equal(message.recipient, known.signer);
  assert.equal(message.max_posting_fee_micros, 500);
  assert.equal(message.amount_micros, 7);
});

test("what is missing, no number or too dear is not signed", () => {
  assert.throws(() => whole({ kind: "withdraw", account: 17 }, known), Malformed);
  assert.throws(() => whole({ ...order, size_lots: "1e5" }, known), Malformed);
  assert.throws(() => whole({ ...order, max_fee_ppm: 1_001 }, known), Malformed);
  assert.throws(() => whole({ ...order, max_posting_fee_micros: 1_000_001 }, known), Malformed);
});
