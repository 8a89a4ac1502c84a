// A book as it is drawn.
import assert from "node:assert/strict";
import { test } from "node:test";
import { levelsOf, middleTwice, ownLots } from "../../../../../sequencer/dashboard/static/pictures/depth_levels.js";

test("levels of a step stand at the price that is worse for who takes them, with what stands up to them", () => {
  assert.deepEqual(levelsOf([[109, 1], [101, 2], [99, 4]], "bids", 10, 5), [
    { price_ticks: 100, lots: 3, sum: 3 },
    { price_ticks: 90, lots: 4, sum: 7 },
  ]);
  assert.deepEqual(levelsOf([[101, 1], [110, 2], [111, 4]], "asks", 10, 1), [{ price_ticks: 110, lots: 3, sum: 3 }]);
  assert.deepEqual(levelsOf([], "asks", 1, 5), []);
});

test("the middle is of both sides", () => {
  assert.equal(middleTwice({ bids: [[99, 1]], asks: [[102, 1]] }), 201);
  assert.equal(middleTwice({ bids: [], asks: [[102, 1]] }), null);
});

test("own orders are drawn where their level is", () => {
  const order = { market: "BTC", side: "buy", limit_price_ticks: 109, remaining_lots: 3, status: "resting" };
  const found = ownLots([order, { ...order, limit_price_ticks: 101 }, { ...order, side: "sell" }, { ...order, market: "ETH" }, { ...order, status: "armed" }], "BTC", 10);
  assert.deepEqual([...found], [["bids:100", 6], ["asks:110", 3]]);
});
