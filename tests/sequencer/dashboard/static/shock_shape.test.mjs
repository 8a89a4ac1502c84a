// Shocks as bars and lines: a bar ends where the node says that a position is closed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { across, barPath, bars, grid, LEAST_BP, left, linePath, MOST_BP, nextBetween, paths } from "../../../../sequencer/dashboard/static/pictures/shock_shape.js";

const sample = (equity, closed = {}) => ({
  equity_micros: String(equity),
  maintenance_micros: "100",
  liquidated: Object.entries(closed).map(([market, lots]) => ({ market, lots, lost_micros: "0" })),
});
const BTC = { market: "BTC", size_lots: 100 };
const ETH = { market: "ETH", size_lots: "-40" };

test("what is left of a position, whichever its side", () => {
  assert.equal(left(sample(1), BTC), 1);
  assert.equal(left(sample(1, { BTC: 25 }), BTC), 0.75);
  assert.equal(left(sample(1, { ETH: "40" }), ETH), 0);
});

test("the grid goes from coarse to fine, each place once, with both ends", () => {
  const found = grid();
  assert.deepEqual(found.slice(0, 3), [0, LEAST_BP, MOST_BP]);
  assert.equal(new Set(found).size, found.length);
  assert.equal(found.length, 21);
});

test("a closing is looked for between two shocks that differ, the widest gap first, until it is known closely", () => {
  const samples = new Map([[-5000, sample(0, { BTC: 100 })], [-2500, sample(50, { BTC: 30 })], [0, sample(100)], [5000, sample(200)]]);
  assert.equal(nextBetween(samples, [BTC, ETH]), -3750);
  samples.set(-3750, sample(20, { BTC: 60 }));
  assert.equal(nextBetween(samples, [BTC, ETH]), -1250);
  const known = new Map([[-20, sample(0, { BTC: 100 })], [0, sample(1)]]);
  assert.equal(nextBetween(known, [BTC]), null);
  assert.equal(nextBetween(new Map(), [BTC]), null);
});

test("a bar ends at the nearest shock that takes something, down and up", () => {
  const samples = new Map([[1000, sample(1, { ETH: 40 })], [-1000, sample(2, { BTC: 100 })], [-500, sample(3, { BTC: 10 })], [0, sample(4)]]);
  const [btc, eth] = bars(samples, [BTC, ETH]);
  assert.deepEqual(btc.ends, [{ from: -500, step: "less" }]);
  assert.deepEqual(btc.points.map((one) => [one.bp, one.share]), [[-1000, 0], [-500, 0.9], [0, 1], [1000, 1]]);
  assert.deepEqual(eth.ends, [{ from: 1000, step: "gone" }]);
});

test("paths are in order and their scale holds zero", () => {
  const { points, least, most } = paths(new Map([[500, sample(300)], [-500, sample(-40)]]));
  assert.deepEqual(points.map((one) => [one.bp, one.equity]), [[-500, -40n], [500, 300n]]);
  assert.deepEqual([least, most], [-40n, 300n]);
});

test("the axis is a thousand long", () => {
  assert.deepEqual([LEAST_BP, 0, MOST_BP].map(across), [0, 500, 1000]);
  assert.equal(barPath([{ bp: -5000, share: 0 }, { bp: 5000, share: 1 }]), "M0,50L1000,4L1000,96L0,50Z");
  assert.equal(barPath([]), "");
  assert.equal(linePath([{ bp: -5000, value: 0n }, { bp: 5000, value: 10n }], { least: 0n, most: 10n }), "M0,96L1000,4");
  assert.equal(linePath([], { least: 0n, most: 0n }), "");
});
