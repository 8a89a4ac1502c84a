// What a form says, as operations, exactly; and what is wrong with which field.
import assert from "node:assert/strict";
import { test } from "node:test";
import { beyondLiquidation, boundOf, boundText, drafted, EMPTY, firesAtOnce, longestLife, sentInTurn, slippageOf, wholeOf, worstPrice } from "../../../../sequencer/dashboard/static/order.js";
import { parsed } from "../../../../sequencer/dashboard/static/format.js";

const market = { index: 0, name: "BTC", size_decimals: 5, price_decimals: 1, price_ticks: 600_000, band_ppm: 50_000, maker_fee_ppm: 100, taker_fee_ppm: 450 };
const limits = { order_life_ms: 86_400_000, trigger_life_ms: 2_592_000_000, immediate_life_ms: 10_000 };
const facts = { account: 18, market, position: undefined, most: 400_000n, limits, now_ms: 1_000_000, group: 77 };
const position = { size_lots: "20000", liquidation_price_ticks: 500_000 };

/** @param {object} changes @param {object} of */
const read = (changes, of = {}) => drafted({ ...EMPTY, ...changes }, { ...facts, ...of });

test("a limit order waits for as long as was said", () => {
  const { legs, problems } = read({ price: "59 999.5", size: "0.25" });
  assert.deepEqual(problems, {});
  assert.deepEqual(legs, [{
    operation: {
      kind: "order", account: 18, market: 0, side: 0, size_lots: "25000", limit_price_ticks: "599995", time_in_force: 0,
      post_only: false, reduce_only: false, max_fee_ppm: 450, expires_at_ms: 4_600_000,
    },
    beside: {}, isAfter: false,
  }]);
});

test("an order's life ends before the longest, by a clock that may be a little ahead", () => {
  const { legs } = read({ price: "60000", size: "1", life_ms: 86_400_000 });
  assert.equal(legs[0].operation.expires_at_ms, 1_000_000 + 86_400_000 - 5_000);
  assert.equal(longestLife({ ...EMPTY, kind: "stop" }, limits), limits.trigger_life_ms);
  assert.equal(longestLife({ ...EMPTY, kind: "stop_limit" }, limits), limits.order_life_ms);
  assert.equal(longestLife({ ...EMPTY, kind: "stop_limit", isReduceOnly: true }, null), limits.trigger_life_ms);
});

test("what is typed wrong is said at its field, and nothing is made of it", () => {
  for (const [changes, field, says] of [
    [{ price: "60000.05", size: "1" }, "price", "BTC has prices in steps of 0.1."],
    [{ price: "sixty", size: "1" }, "price", "This is no price."],
    [{ price: "-1", size: "1" }, "price", "This is no price."],
    [{ price: "99999999999999999", size: "1" }, "price", "No order can hold so high a price."],
    [{ price: "60000", size: "0.000001" }, "size", "BTC has sizes in steps of 0.00001."],
    [{ price: "60000", size: "-1" }, "size", "This is no size."],
    [{ price: "60000", size: "999999999999999" }, "size", "No order can hold so large a size."],
    [{ price: "60000", size: "101", unit: "share" }, "size", "A share is from 0 to 100%."],
    [{ price: "60000", size: "0.5", unit: "dollars" }, "size", "Less than the smallest step, 0.00001 BTC."],
    [{ kind: "market", size: "1", slippage: "6" }, "slippage", "BTC trades within 5% of the oracle price."],
    [{ price: "60000", size: "1", group: "0" }, "group", "A number from 1 to 4294967295."],
    [{ price: "60000", size: "1", group: "4294967296" }, "group", "A number from 1 to 4294967295."],
    [{ price: "60000", size: "1", isPostOnly: true, force: "ioc" }, "isPostOnly", "A post-only order waits in the book; this one may not wait."],
  ]) {
    const { legs, problems } = read(changes);
    assert.equal(problems[field], says, JSON.stringify(changes));
    assert.deepEqual(legs, []);
  }
  // An empty form is not filled in, and not wrong either.
  assert.deepEqual(read({}), { legs: [], first: null, lots: 0n, problems: { price: "", size: "" } });
});

test("an order at the market takes at the slippage's price, rounded towards the price", () => {
  const buy = read({ kind: "market", size: "1" }).legs[0].operation;
  assert.deepEqual([buy.limit_price_ticks, buy.time_in_force, buy.expires_at_ms], ["603000", 1, undefined]);
  const sell = read({ kind: "market", side: "sell", size: "1", slippage: "0.0001" }).legs[0].operation;
  assert.equal(sell.limit_price_ticks, "600000");
  assert.equal(worstPrice(999n, "sell", 1n), 999n);
  assert.equal(worstPrice(999n, "buy", 1n), 999n);
  assert.equal(worstPrice(5n, "sell", 999_999n), 1n);
  assert.equal(read({ kind: "market", size: "1" }, { market: { ...market, price_ticks: 0 } }).legs.length, 0);
});

test("dollars become lots that cost no more, at the dearer of limit and oracle price", () => {
  assert.equal(read({ price: "70000", size: "100", unit: "dollars" }).lots, 142n);
  assert.equal(read({ price: "50000", size: "100", unit: "dollars" }).lots, 166n);
});

test("a share is of buying power, and of the position where it is reduced", () => {
  assert.equal(read({ price: "60000", size: "100", unit: "share" }).lots, 400_000n);
  assert.equal(read({ price: "60000", size: "33.3333", unit: "share" }).lots, 133_333n);
  const closing = { ...EMPTY, kind: "market", side: "sell", isReduceOnly: true };
  assert.equal(wholeOf(closing, { ...facts, position }), 20_000n);
  assert.equal(wholeOf({ ...closing, side: "buy" }, { ...facts, position }), 0n);
  assert.equal(wholeOf({ ...closing, side: "buy" }, { ...facts, position: { ...position, size_lots: -7 } }), 7n);
});

test("stops and targets wait on their side of the price, and only reduce where they take", () => {
  for (const [kind, side, trigger, reduces] of [
    ["stop", "sell", 2, true], ["stop", "buy", 1, true], ["take_profit", "sell", 1, true], ["take_profit", "buy", 2, true],
    ["stop_limit", "sell", 2, false], ["take_profit_limit", "sell", 1, false],
  ]) {
    const { operation } = read({ kind, side, trigger: "58000", price: "57000", size: "0.1" }, { position }).legs[0];
    assert.deepEqual([operation.trigger, operation.trigger_price_ticks, operation.reduce_only], [trigger, "580000", reduces], `${kind} ${side}`);
  }
  const { operation } = read({ kind: "stop", side: "sell", trigger: "58000", size: "0.1" }, { position }).legs[0];
  assert.deepEqual([operation.limit_price_ticks, operation.time_in_force], ["522000", 1]);
});

test("a bracket is an entry and two that come after it, one cancelling the other", () => {
  const { legs } = read({ price: "60000", size: "0.1", isGuarded: true, guardStop: "58000", guardTarget: "65000" });
  assert.deepEqual(legs.map((leg) => [leg.operation.side, leg.operation.trigger, leg.operation.reduce_only, leg.isAfter, leg.beside.group]), [
    [0, undefined, false, false, undefined],
    [1, 2, true, true, 77],
    [1, 1, true, true, 77],
  ]);
  assert.equal(read({ price: "60000", size: "0.1", isGuarded: true, guardStop: "58000" }).legs.length, 2);
  assert.equal(read({ price: "60000", size: "0.1", isGuarded: true }).problems.guardStop, "Say where it stops, or where it takes its profit.");
  assert.equal(read({ price: "60000", size: "0.1", isGuarded: true }).first.operation.size_lots, "10000");
  assert.match(read({ price: "60000", size: "0.1", isGuarded: true, guardStop: "61000" }).problems.guardStop, /losing side/);
  assert.match(read({ price: "60000", side: "sell", size: "0.1", isGuarded: true, guardStop: "59000" }).problems.guardStop, /losing side/);
  assert.match(read({ price: "60000", size: "0.1", isGuarded: true, guardTarget: "59000" }).problems.guardTarget, /winning side/);
});

test("stop and target of a position are one group", () => {
  const { legs } = read({ kind: "both", side: "sell", trigger: "58000", target: "65000", size: "100", unit: "share" }, { position });
  assert.deepEqual(legs.map((leg) => [leg.operation.size_lots, leg.operation.trigger, leg.operation.reduce_only, leg.beside.group, leg.isAfter]), [
    ["20000", 2, true, 77, false],
    ["20000", 1, true, 77, false],
  ]);
  assert.equal(read({ kind: "both", side: "sell", trigger: "58000", target: "65000", size: "1", group: "5" }).legs[1].beside.group, 5);
});

test("a change takes the slot of what it changes", () => {
  const [leg] = read({ price: "60000", size: "1", replaces: { order_id: "0x12", slot: 4, after: "" }, selfTrade: "decrement" }).legs;
  assert.deepEqual([leg.operation.slot, leg.beside], [4, { self_trade: "decrement", replaces: "0x12" }]);
  const changed = read({ kind: "stop", side: "sell", trigger: "58000", size: "1", group: "9", replaces: { order_id: "0x12", slot: 4, after: "0x11" } });
  assert.equal(changed.first, null, "a preview of it alone would refuse it: there is nothing to reduce");
  const [guard] = changed.legs;
  assert.deepEqual(guard.beside, { replaces: "0x12", after: "0x11", group: 9 });
});

test("how far an order may slip is read from its limit, and no nearer than it was", () => {
  for (const [side, trigger, away] of [["sell", 580_000n, 100_000n], ["buy", 580_000n, 12_345n], ["sell", 7n, 1n], ["buy", 600_001n, 0n]]) {
    const limit = worstPrice(trigger, side, away);
    const again = worstPrice(trigger, side, parsed(slippageOf(trigger, limit), 4));
    assert.ok(side === "sell" ? again <= limit && again >= limit - 1n : again >= limit && again <= limit + 1n, `${again} for ${limit}`);
  }
  assert.equal(slippageOf(580_000n, 522_000n), "10");
  assert.equal(slippageOf(580_000n, 580_000n), "0");
});

test("a stop that liquidation comes before is known", () => {
  const [leg] = read({ kind: "stop", side: "sell", trigger: "50000", size: "0.1" }, { position }).legs;
  assert.equal(beyondLiquidation(leg, position), 500_000n);
  assert.equal(beyondLiquidation(leg, { ...position, liquidation_price_ticks: 499_999 }), null);
  assert.equal(beyondLiquidation(leg, { ...position, liquidation_price_ticks: null }), null);
  assert.equal(beyondLiquidation(leg, undefined), null);
  const [short] = read({ kind: "stop", side: "buy", trigger: "70000", size: "0.1" }).legs;
  assert.equal(beyondLiquidation(short, { size_lots: -5, liquidation_price_ticks: 700_000 }), 700_000n);
  assert.equal(beyondLiquidation(short, position), null);
  assert.equal(firesAtOnce(leg, 500_000), true);
  assert.equal(firesAtOnce(leg, 500_001), false);
});

test("a bound of leverage is rounded to less, and nothing below once is one", () => {
  assert.deepEqual(["3", "10", "0", "1", "0.5", "x", "1.234"].map(boundOf), [333_334, 100_000, 0, 1_000_000, null, null, null]);
  assert.deepEqual([0, 100_000, 333_334, 1_000_000].map(boundText), ["no bound", "at most 10×", "at most 3×", "at most 1×"]);
});

test("guards are sent behind their entry, by its name, and not behind one that came to nothing", async () => {
  const { legs } = read({ price: "60000", size: "0.1", isGuarded: true, guardStop: "58000", guardTarget: "65000" });
  for (const [entry, sent] of [
    [{ order_id: "0x1", status: "resting", filled_lots: 0 }, 3],
    [{ order_id: "0x1", status: "expired", filled_lots: 5 }, 3],
    [{ order_id: "0x1", status: "expired", filled_lots: 0 }, 1],
  ]) {
    const seen = [];
    const results = await sentInTurn(legs, async (operation, beside) => (seen.push(beside), entry));
    assert.equal(results.length, sent);
    assert.deepEqual(seen, [{}, { group: 77, after: "0x1" }, { group: 77, after: "0x1" }].slice(0, sent));
  }
  await assert.rejects(sentInTurn(legs, async () => Promise.reject(new Error("no"))), /no/);
});
