// What helps an account that is called.
import assert from "node:assert/strict";
import { test } from "node:test";
import { freesMost, giver, reducing, topUpMicros } from "../../../../sequencer/dashboard/static/ways_out.js";

const seen = (equity, maintenance, initial, reserved = 0) => ({
  equity_micros: String(equity * 1e6),
  maintenance_micros: String(maintenance * 1e6),
  initial_micros: String(initial * 1e6),
  reserved_micros: String(reserved * 1e6),
});

test("a top-up brings the account to its initial requirement, or ends the call where it is there, in whole dollars", () => {
  // 45% of 222.3 is 100.
  assert.equal(topUpMicros(seen(150, 100, 120)), 73_000_000n);
  assert.equal(topUpMicros(seen(150, 100, 160.5)), 11_000_000n);
  assert.equal(topUpMicros(seen(150, 100, 300)), 150_000_000n);
  assert.equal(topUpMicros(seen(150, 100, 300, 40)), 190_000_000n);
  assert.equal(topUpMicros(seen(-10, 100, 300)), 310_000_000n);
  assert.equal(topUpMicros(seen(500, 100, 300)), 0n);
});

test("what asks for the most frees most", () => {
  const legs = [{ market: "BTC", initial_micros: "9" }, { market: "ETH", initial_micros: "10" }, { market: "SOL", initial_micros: "2" }];
  assert.equal(freesMost(legs).market, "ETH");
  assert.equal(freesMost([]), undefined);
});

test("an order that only reduces, against the position and within half a percent", () => {
  const market = { index: 3, price_ticks: 1_000, maker_fee_ppm: 100, taker_fee_ppm: 450 };
  const long = reducing(7, { size_lots: 5 }, market, 50n);
  assert.deepEqual(long, {
    kind: "order", account: 7, market: 3, side: 1, size_lots: "3", limit_price_ticks: "995", time_in_force: 1, reduce_only: true, max_fee_ppm: 450,
  });
  const short = reducing(7, { size_lots: "-5" }, market, 100n);
  assert.deepEqual([short.side, short.size_lots, short.limit_price_ticks], [0, "5", "1005"]);
});

test("who can give most gives, no more than is wanted and no less than a dollar", () => {
  const accounts = [{ account: 1, withdrawable_micros: "5000000" }, undefined, { account: 2, withdrawable_micros: "9000000" }];
  assert.deepEqual(giver(accounts, 7_000_000n), { from: 2, micros: 7_000_000n });
  assert.deepEqual(giver(accounts, 100_000_000n), { from: 2, micros: 9_000_000n });
  assert.equal(giver([{ account: 1, withdrawable_micros: "999999" }], 7_000_000n), null);
  assert.equal(giver([], 7_000_000n), null);
});
