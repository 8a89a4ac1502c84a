// Practice: what it trades, what it tells, and what it makes of a browser's memory.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  BEGINNING, held, orderOf, progressOf, STEPS, toldOfCall, toldOfGains, toldOfPositions, toldOfRescues,
} from "../../../../sequencer/dashboard/static/parts/practice_steps.js";

const btc = { index: 0, name: "BTC", price_ticks: 600_000, price_decimals: 1, size_decimals: 5 };
const seen = {
  account: 18,
  buying_power: [{ market: "BTC", buy_lots: "1001", sell_lots: 3 }],
  positions: [{
    market: "BTC", size_lots: 8151, notional_micros: "4889610000", maintenance_micros: "58680000", unrealised_micros: "-41270000",
  }],
  equity_micros: "154930000", maintenance_micros: "80620000", margin_ratio_ppm: 520_000, margin_call_percent: 50, fall_bp: 260,
};

test("an order is for a part of the buying power, within half a percent of the price", () => {
  assert.deepEqual(orderOf(seen, btc, "buy", 500_000), {
    kind: "order", account: 18, market: 0, side: 0, size_lots: "500", limit_price_ticks: "603000", time_in_force: 1,
  });
  assert.equal(orderOf(seen, btc, "sell", 400_000).limit_price_ticks, "597000");
  assert.equal(orderOf(seen, btc, "sell", 300_000), null);
  assert.equal(orderOf({ ...seen, buying_power: [] }, btc, "buy", 500_000), null);
});

test("what is told is what is", () => {
  assert.equal(held(seen, "BTC"), seen.positions[0]);
  assert.equal(held(undefined, "BTC"), undefined);
  assert.deepEqual(toldOfPositions(seen, [btc]), ["0.08151 BTC bought, worth $4,889.61; $58.68 of the pool has to stay for it."]);
  assert.deepEqual(toldOfGains(seen), ["Gained or lost, in dollars: BTC −41.27.", "Equity $154.93, margin ratio 52.0%."]);
  assert.deepEqual(toldOfCall(seen), [
    "Margin call at 50%: equity $154.93, $80.62 have to stay.", "A common fall of prices by 2.6% begins liquidation.",
  ]);
  assert.match(toldOfCall({ ...seen, fall_bp: null })[1], /^No common fall/);
});

test("of several rescues the first has the equity before, the last the equity after", () => {
  const rescue = { market: "BTC", lots: 1000, price_ticks: 583_000, oracle_price_ticks: 583_100, fee_micros: "1000000" };
  const rescues = [
    { ...rescue, equity_before_micros: "70000000", equity_after_micros: "60000000" },
    { ...rescue, equity_before_micros: "80000000", equity_after_micros: "70000000" },
  ];
  assert.deepEqual(toldOfRescues(rescues, seen, [btc]), [
    "0.02 BTC closed at 58,300.0 while the oracle said 58,310.0; 0.08151 are still open.",
    "75.0% of the equity before it is still there: $60.00. The fee was $2.00.",
  ]);
  assert.match(toldOfRescues(rescues, { ...seen, positions: [] }, [btc])[0], /none is left open/);
  assert.deepEqual(toldOfRescues([], seen, [btc]), []);
});

test("what another page has written is no progress", () => {
  const kept = { step: 3, isDone: true, account: 18, told: ["a"] };
  assert.deepEqual(progressOf(kept), kept);
  for (const other of [
    null, 3, {}, { ...kept, step: -1 }, { ...kept, step: STEPS.length + 1 }, { ...kept, step: "1" }, { ...kept, account: null }, { ...kept, told: "a" },
  ]) {
    assert.deepEqual(progressOf(other), BEGINNING);
  }
});
