/**
 * What the node says of an account at some shocks, as a path of equity and as bars that end where a position is closed.
 * Pure: between two samples nothing is made up but straight lines.
 *
 * @import {PositionView, Shocked} from "../wire"
 */

export const LEAST_BP = -5_000;
export const MOST_BP = 5_000;
const STEP_BP = 500;
// Where something closes is looked for until it is known this closely.
const CLOSE_BP = 20;

/** @typedef {ReadonlyMap<number, Shocked>} Samples by shock in basis points */

/** Shocks to ask for, from coarse to fine, so that the picture is whole early. @returns {number[]} */
export function grid() {
  /** @type {Set<number>} */
  const found = new Set([0, LEAST_BP, MOST_BP]);
  for (let step = MOST_BP / 2; step >= STEP_BP; step /= 2) {
    for (let at = LEAST_BP; at <= MOST_BP; at += step) found.add(Math.round(at / STEP_BP) * STEP_BP);
  }
  for (let at = LEAST_BP; at <= MOST_BP; at += STEP_BP) found.add(at);
  return [...found];
}

/**
 * The next shock to ask for, between two of which one closes what the other does not; null: all is known closely.
 * @param {Samples} samples
 * @param {PositionView[]} positions
 * @returns {number | null}
 */
export function nextBetween(samples, positions) {
  const shocks = [...samples.keys()].sort((a, b) => a - b);
  let widest = CLOSE_BP;
  /** @type {number | null} */
  let found = null;
  for (let at = 1; at < shocks.length; at++) {
    const [left, right] = [shocks[at - 1] ?? 0, shocks[at] ?? 0];
    if (right - left <= widest || stateOf(samples.get(left), positions) === stateOf(samples.get(right), positions)) continue;
    widest = right - left;
    found = Math.round((left + right) / 2);
  }
  return found;
}

/** Which positions are whole, less or gone. @param {Shocked | undefined} sample @param {PositionView[]} positions */
function stateOf(sample, positions) {
  return positions.map((one) => (sample === undefined ? "?" : stepOf(left(sample, one)))).join(" ");
}

/** @param {number} share */
function stepOf(share) {
  return share === 1 ? "whole" : share === 0 ? "gone" : "less";
}

/**
 * Which share of a position a shock leaves.
 * @param {Shocked} sample
 * @param {PositionView} position
 */
export function left(sample, { market, size_lots }) {
  const lots = BigInt(sample.liquidated.find((one) => one.market === market)?.lots ?? 0);
  const size = BigInt(size_lots) < 0n ? -BigInt(size_lots) : BigInt(size_lots);
  return size === 0n ? 0 : Number(((size - lots) * 10_000n) / size) / 10_000;
}

/**
 * @typedef {object} Bar
 * @property {string} market
 * @property {{bp: number, share: number}[]} points share of the position that is left, by shock
 * @property {{from: number, step: "less" | "gone"}[]} ends the nearest shocks, down and up, that take something of it
 */

/**
 * @param {Samples} samples
 * @param {PositionView[]} positions
 * @returns {Bar[]}
 */
export function bars(samples, positions) {
  const shocks = [...samples.keys()].sort((a, b) => a - b);
  return positions.map((position) => {
    const points = shocks.map((bp) => ({ bp, share: left(/** @type {Shocked} */ (samples.get(bp)), position) }));
    const down = points.toReversed().find(({ bp, share }) => bp < 0 && share < 1);
    const up = points.find(({ bp, share }) => bp > 0 && share < 1);
    const ends = [down, up].flatMap((one) =>
      one === undefined ? [] : [{ from: one.bp, step: /** @type {"less" | "gone"} */ (stepOf(one.share)) }],
    );
    return { market: position.market, points, ends };
  });
}

/**
 * Equity and what has to stay, by shock, before anything is closed; and the scale that holds both.
 * @param {Samples} samples
 */
export function paths(samples) {
  const shocks = [...samples.keys()].sort((a, b) => a - b);
  const points = shocks.map((bp) => {
    const { equity_micros, maintenance_micros } = /** @type {Shocked} */ (samples.get(bp));
    return { bp, equity: BigInt(equity_micros), maintenance: BigInt(maintenance_micros) };
  });
  const all = points.flatMap((one) => [one.equity, one.maintenance]);
  return {
    points,
    least: all.reduce((a, b) => (b < a ? b : a), 0n),
    most: all.reduce((a, b) => (b > a ? b : a), 1n),
  };
}

/** Where a shock stands on the axis, in thousandths of its length. @param {number} bp */
export function across(bp) {
  return ((bp - LEAST_BP) * 1000) / (MOST_BP - LEAST_BP);
}

/**
 * A bar as an SVG path in a box of 1000 by 100: as high as what is left.
 * @param {Bar["points"]} points
 */
export function barPath(points) {
  const upper = points.map(({ bp, share }) => `${across(bp)},${50 - 46 * share}`);
  const lower = points.toReversed().map(({ bp, share }) => `${across(bp)},${50 + 46 * share}`);
  return points.length === 0 ? "" : `M${[...upper, ...lower].join("L")}Z`;
}

/**
 * A line as an SVG path in a box of 1000 by 100.
 * @param {{bp: number, value: bigint}[]} points
 * @param {{least: bigint, most: bigint}} scale
 */
export function linePath(points, { least, most }) {
  const span = most - least;
  const high = (/** @type {bigint} */ value) => 96 - Number(((value - least) * 9_200n) / (span || 1n)) / 100;
  return points.length === 0 ? "" : `M${points.map(({ bp, value }) => `${across(bp)},${high(value)}`).join("L")}`;
}
