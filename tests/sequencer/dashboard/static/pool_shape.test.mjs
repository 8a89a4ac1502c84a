// The pool's picture: each gain adds, each loss eats from the right, and the requirements stand from the left.
import assert from "node:assert/strict";
import { test } from "node:test";
import { equityAt, labelled, moves, place, roundUp, scaleOf, shape } from "../../../../sequencer/dashboard/static/pictures/pool_shape.js";

const leg = (market, unrealised, maintenance, initial) => ({
  market,
  unrealised_micros: String(unrealised),
  maintenance_micros: String(maintenance),
  initial_micros: String(initial),
});

function account(collateral, reserved, ...positions) {
  const sum = (key) => positions.reduce((total, one) => total + Number(one[key]), 0);
  const equity = collateral + sum("unrealised_micros");
  const texts = { collateral, equity, initial: sum("initial_micros"), maintenance: sum("maintenance_micros"), reserved };
  const written = Object.fromEntries(Object.entries(texts).map(([key, value]) => [`${key}_micros`, String(value)]));
  return { ...written, positions };
}

const spans = (segments) => segments.map(({ kind, market, from, to }) => [kind, market, Number(from), Number(to)]);

test("gains stand at the right of the collateral, and losses eat from the right end", () => {
  const found = shape(account(1000, 0, leg("BTC", 200, 60, 100), leg("ETH", -300, 30, 50), leg("SOL", -50, 10, 20)));
  assert.deepEqual(spans(found.pool), [
    ["collateral", null, 0, 1000],
    ["gain", "BTC", 1000, 1200],
    ["loss", "ETH", 900, 1200],
    ["loss", "SOL", 850, 900],
  ]);
  assert.equal(found.equity, 850n, "the last loss ends where equity ends");
});

test("requirements stand from the left, and free is what is left of equity", () => {
  const found = shape(account(1000, 70, leg("BTC", 0, 60, 100), leg("ETH", -100, 30, 50)));
  assert.deepEqual(spans(found.needs), [
    ["maintenance", "BTC", 0, 60],
    ["maintenance", "ETH", 60, 90],
    ["initial", "BTC", 90, 130],
    ["initial", "ETH", 130, 150],
    ["reserved", null, 150, 220],
    ["free", null, 220, 900],
  ]);
});

test("nothing is free where equity does not cover what is needed", () => {
  const found = shape(account(100, 0, leg("BTC", -50, 60, 100)));
  assert.ok(found.needs.every((one) => one.kind !== "free"));
  assert.deepEqual([found.least, found.most], [0n, 120n], "the picture holds the first call's mark");
});

test("a debt stands left of zero, and so does what is lost beyond everything", () => {
  const debt = shape(account(-40, 0, leg("BTC", 100, 6, 10)));
  assert.deepEqual(spans(debt.pool), [["debt", null, -40, 0], ["gain", "BTC", -40, 60]]);
  const below = shape(account(100, 0, leg("BTC", -130, 6, 10)));
  assert.deepEqual(spans(below.pool).at(-1), ["loss", "BTC", -30, 100]);
  assert.equal(below.least, -30n);
});

test("calls are marked where equity would be told, and liquidation where maintenance is", () => {
  const found = shape(account(1000, 0, leg("BTC", 0, 70, 100)));
  assert.deepEqual(found.marks.map((one) => [one.percent, Number(one.at)]), [[50, 140], [70, 100], [80, 87], [90, 77], [100, 70]]);
  assert.equal(equityAt(70n, 100), 70n);
  assert.deepEqual(shape(account(1000, 0)).marks, [], "without a position there is nothing to call");
});

test("a scale is round, holds all shapes and stands still for a little", () => {
  const one = scaleOf({ least: 0n, most: 5_014_440_000n });
  assert.deepEqual(one, { least: 0n, most: 5_500_000_000n });
  assert.deepEqual(scaleOf({ least: 0n, most: 5_400_000_000n }), one);
  assert.deepEqual(scaleOf({ least: -38n, most: 70n }, { least: 0n, most: 90n }), { least: -40n, most: 90n });
  assert.deepEqual(scaleOf({ least: 0n, most: 0n }), { least: 0n, most: 10n }, "an empty pool has a scale too");
  for (const value of [6n, 10n, 99n, 101n, 12_345n]) {
    assert.ok(roundUp(value) >= value && roundUp(value) <= value * 2n, String(value));
  }
});

test("what is drawn over the pool never squeezes it into a corner", () => {
  const now = { least: 0n, most: 1_000n };
  assert.deepEqual(scaleOf(now, { least: -17_000n, most: 500n }), { least: -250n, most: 1_000n });
  assert.deepEqual(scaleOf(now, { least: -100n, most: 900n }), { least: -100n, most: 1_000n });
  assert.deepEqual(scaleOf(now, { least: 0n, most: 1_500n }), { least: 0n, most: 1_600n });
  assert.deepEqual(scaleOf(now, { least: 0n, most: 90_000n }), { least: 0n, most: 2_000n });
  assert.equal(place(-17_000n, { least: -250n, most: 1_000n }), 0);
  assert.equal(place(90_000n, { least: 0n, most: 2_000n }), 100);
});

test("a place is a share of the picture", () => {
  assert.equal(place(50n, { least: 0n, most: 200n }), 25);
  assert.equal(place(0n, { least: -50n, most: 150n }), 25);
  assert.equal(place(1n, { least: 0n, most: 0n }), 0);
});

test("where words would cover each other, liquidation and the first call are said", () => {
  const { marks } = shape(account(1000, 0, leg("BTC", 0, 70, 100)));
  const scale = { least: 0n, most: 1000n };
  assert.deepEqual([...labelled(marks, scale, 1000, () => 40)].sort(), [100, 50]);
  assert.deepEqual([...labelled(marks, scale, 10_000, () => 40)].length, 5);
  assert.deepEqual([...labelled(marks, scale, 100, () => 40)], [100]);
});

test("what would stand where it stands has no outline, and what is free never one", () => {
  const scale = { least: 0n, most: 10_000n };
  const now = shape(account(1000, 0, leg("BTC", 0, 60, 100)));
  const then = shape(account(1010, 0, leg("BTC", 0, 60, 200), leg("ETH", -10, 5, 9)));
  const outlined = [...then.pool, ...then.needs].filter((one) => moves(one, [...now.pool, ...now.needs], scale));
  assert.deepEqual(outlined.map((one) => one.key), ["ETH.turn", "ETH.maintenance", "BTC.initial", "ETH.initial"]);
});
