// The page's state, message by message, as its channels tell it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checksum, KEPT_TRADES, opened, told, Torn } from "../../../../sequencer/dashboard/static/model.js";

const book = { bids: [[100, 5], [99, 1]], asks: [[101, 2]] };

test("a book follows its changes by its sum", () => {
  const state = opened("book_deltas:BTC", { ...book, market: "BTC", checksum: checksum(book), time_ms: 1 });
  const next = { bids: [[100, 7]], asks: [[101, 2], [103, 4]] };
  const change = { market: "BTC", previous: 1, bids: [[100, 7], [99, 0]], asks: [[103, 4]], checksum: checksum(next), time_ms: 2 };
  assert.deepEqual(told("book_deltas:BTC", state, change), { ...next, time_ms: 2 });
  assert.deepEqual(state.bids, book.bids, "the state before is as it was");
  assert.throws(() => told("book_deltas:BTC", state, { ...change, checksum: 1 }), Torn);
  assert.throws(() => opened("book_deltas:BTC", { ...book, checksum: 1 }), Torn);
});

test("the sum is the venue's", () => {
  // CRC-32 of "1:2,3:4" as zlib has it.
  assert.equal(checksum({ bids: [[1, 2]], asks: [[3, 4]] }), 0x25acdf36);
  assert.equal(checksum({ bids: [], asks: [] }), 0);
});

test("an order's steps end it, and an unknown one asks for the list", () => {
  const order = { order_id: "0x1", status: "resting", filled_lots: 0, remaining_lots: 5 };
  const state = opened("orders:7", [order]);
  const filled = told("orders:7", state, [{ order_id: "0x1", status: "resting", filled_lots: 2, remaining_lots: 3 }]);
  assert.deepEqual(filled.open.get("0x1"), { ...order, filled_lots: 2, remaining_lots: 3 });
  const over = told("orders:7", filled, [{ order_id: "0x1", status: "filled", filled_lots: 5, remaining_lots: 0 }]);
  assert.equal(over.open.size, 0);
  assert.equal(over.steps.length, 2);
  assert.equal(over.isUnsure, false);
  assert.equal(told("orders:7", over, [{ order_id: "0x2", status: "resting", filled_lots: 0, remaining_lots: 1 }]).isUnsure, true);
});

test("lists are bounded, the newest first", () => {
  let state = opened("trades:BTC", [{ time_ms: 1 }, { time_ms: 2 }]);
  assert.deepEqual(state.map((one) => one.time_ms), [2, 1]);
  for (let at = 3; at < 3 + 2 * KEPT_TRADES; at++) state = told("trades:BTC", state, { time_ms: at });
  assert.equal(state.length, KEPT_TRADES);
  assert.equal(state[0].time_ms, 2 + 2 * KEPT_TRADES);
});

test("candles, calls and batches take the place of their own", () => {
  const candles = told("candles:BTC:1m", [{ start_ms: 1, close: 1 }, { start_ms: 2, close: 1 }], [{ start_ms: 2, close: 5 }, { start_ms: 3, close: 6 }]);
  assert.deepEqual(candles.map((one) => one.close), [1, 5, 6]);
  const calls = told("margin_calls", [{ account: 4, level_percent: 80 }], { account: 4, level_percent: 0 });
  assert.deepEqual(calls, []);
  const batches = told("batches", [{ number: 3 }, { number: 2 }, { number: 1 }], [{ number: 2, root: "0x" }]);
  assert.deepEqual(batches, [{ number: 2, root: "0x" }, { number: 1 }], "behind a roll-back the later ones are gone");
});

test("what is told whole is the state", () => {
  assert.deepEqual(told("account:1", { a: 1 }, { b: 2 }), { b: 2 });
});
