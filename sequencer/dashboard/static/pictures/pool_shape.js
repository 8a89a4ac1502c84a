/**
 * Where everything of the pool's picture stands on one scale of micro-dollars. Pure.
 *
 * @import {PositionView} from "../wire"
 */

/** Percent of maintenance over equity at which a margin call is told; the last one is where liquidation begins. */
export const CALL_LEVELS = [50, 70, 80, 90, 100];
/** Points that the ratio has to fall below a level for its call to end. */
export const EASING = 5;

/**
 * What the picture needs of an account, as it is or as it would be.
 * @typedef {object} Standing
 * @property {string} collateral_micros
 * @property {string} equity_micros
 * @property {string} initial_micros
 * @property {string} maintenance_micros
 * @property {string} reserved_micros
 * @property {Pick<PositionView, "market" | "unrealised_micros" | "initial_micros" | "maintenance_micros">[]} positions
 */

/**
 * @typedef {object} Segment
 * @property {string} key the same for the same thing before and after, so that the eye follows it
 * @property {"collateral" | "debt" | "gain" | "loss" | "maintenance" | "initial" | "reserved" | "free"} kind
 * @property {string | null} market
 * @property {bigint} from
 * @property {bigint} to
 */

/**
 * @typedef {object} Shape
 * @property {bigint} equity
 * @property {Segment[]} pool what is there: collateral, gains to its right, and losses that eat from the right
 * @property {Segment[]} needs what has to stay and what is needed to grow, from the left, and what is free of it
 * @property {{percent: number, at: bigint}[]} marks equity at which a call is told
 * @property {bigint} least
 * @property {bigint} most
 */

/**
 * @param {Standing} seen
 * @returns {Shape}
 */
export function shape(seen) {
  const equity = BigInt(seen.equity_micros);
  const pool = poolOf(seen);
  const needs = needsOf(seen, equity);
  const maintenance = BigInt(seen.maintenance_micros);
  const marks = maintenance > 0n ? CALL_LEVELS.map((percent) => ({ percent, at: equityAt(maintenance, percent) })) : [];
  const places = [equity, ...pool.flatMap(ends), ...needs.flatMap(ends), ...marks.map((one) => one.at)];
  return { equity, pool, needs, marks, least: lowest(places), most: highest(places) };
}

/**
 * The highest equity at which so many percent of it are maintenance.
 * @param {bigint} maintenance
 * @param {number} percent
 */
export function equityAt(maintenance, percent) {
  return (maintenance * 100n) / BigInt(percent);
}

/** @param {Standing} seen @returns {Segment[]} */
function poolOf(seen) {
  const collateral = BigInt(seen.collateral_micros);
  /** @type {Segment[]} */
  const found = [
    collateral >= 0n
      ? { key: "collateral", kind: "collateral", market: null, from: 0n, to: collateral }
      : { key: "collateral", kind: "debt", market: null, from: collateral, to: 0n },
  ];
  let right = collateral;
  for (const { market, unrealised_micros } of seen.positions) {
    const gain = BigInt(unrealised_micros);
    if (gain <= 0n) continue;
    found.push({ key: `${market}.turn`, kind: "gain", market, from: right, to: right + gain });
    right += gain;
  }
  // Losses lie over what they eat: the first position's at the right end, the last one's ends at equity.
  for (const { market, unrealised_micros } of seen.positions) {
    const loss = -BigInt(unrealised_micros);
    if (loss <= 0n) continue;
    found.push({ key: `${market}.turn`, kind: "loss", market, from: right - loss, to: right });
    right -= loss;
  }
  return found;
}

/** @param {Standing} seen @param {bigint} equity @returns {Segment[]} */
function needsOf(seen, equity) {
  /** @type {Segment[]} */
  const found = [];
  let right = 0n;
  /** @param {Segment["kind"]} kind @param {string | null} market @param {bigint} micros */
  const stack = (kind, market, micros) => {
    if (micros <= 0n) return;
    found.push({ key: `${market ?? "all"}.${kind}`, kind, market, from: right, to: right + micros });
    right += micros;
  };
  for (const one of seen.positions) stack("maintenance", one.market, BigInt(one.maintenance_micros));
  for (const one of seen.positions) {
    stack("initial", one.market, BigInt(one.initial_micros) - BigInt(one.maintenance_micros));
  }
  stack("reserved", null, BigInt(seen.reserved_micros));
  if (equity > right) found.push({ key: "all.free", kind: "free", market: null, from: right, to: equity });
  return found;
}

/** @param {Segment} one */
function ends(one) {
  return [one.from, one.to];
}

/** @param {bigint[]} values @param {bigint} [first] */
function lowest(values, first = 0n) {
  return values.reduce((a, b) => (b < a ? b : a), first);
}

/** @param {bigint[]} values @param {bigint} [first] */
function highest(values, first = 0n) {
  return values.reduce((a, b) => (b > a ? b : a), first);
}

/**
 * A scale that holds a shape, and another that is drawn over it, but for what would squeeze the first into a corner: a
 * debt of more than a quarter of it, or more than twice as much. Its ends are round numbers, so that it stands still
 * while the shapes move a little.
 * @param {Pick<Shape, "least" | "most">} now
 * @param {Pick<Shape, "least" | "most"> | null} [then]
 * @returns {{least: bigint, most: bigint}}
 */
export function scaleOf(now, then = null) {
  const all = highest([now.most, 1n]);
  const least = then === null ? now.least : lowest([now.least, highest([then.least, -all / 4n], -all)]);
  const most = then === null ? all : highest([all, lowest([then.most, 2n * all], then.most)]);
  return { least: -roundUp(-least), most: roundUp(most) };
}

const STEPS = [10n, 11n, 12n, 14n, 16n, 18n, 20n, 22n, 25n, 28n, 32n, 36n, 40n, 45n, 50n, 55n, 60n, 70n, 80n, 90n, 100n];

/** The next round number, of a value that is not negative. @param {bigint} value */
export function roundUp(value) {
  if (value <= 0n) return 0n;
  const unit = 10n ** BigInt(Math.max(0, value.toString().length - 2));
  return (STEPS.find((step) => step * unit >= value) ?? 100n) * unit;
}

/**
 * A place on the scale as percent of the picture's width, at its ends what is beyond them; what is drawn is rounded,
 * what is written never.
 * @param {bigint} value
 * @param {{least: bigint, most: bigint}} scale
 */
export function place(value, { least, most }) {
  const span = most - least;
  const at = value < least ? least : value > most ? most : value;
  return span <= 0n ? 0 : Number(((at - least) * 1_000_000n) / span) / 10_000;
}

// Of the picture's width, percent: a smaller step is not seen as one.
const SEEN_STEP = 0.4;

/**
 * Whether a segment as it would be needs an outline: it is new, or stands elsewhere than the same one now.
 * @param {Segment} one
 * @param {Segment[]} stands
 * @param {{least: bigint, most: bigint}} scale
 */
export function moves(one, stands, scale) {
  if (one.kind === "free") return false;
  const now = stands.find((each) => each.key === one.key && each.kind === one.kind);
  const far = (/** @type {bigint} */ a, /** @type {bigint} */ b) => Math.abs(place(a, scale) - place(b, scale)) > SEEN_STEP;
  return now === undefined || far(one.from, now.from) || far(one.to, now.to);
}

/**
 * Which marks find room for their words, each `wide` pixels: where liquidation begins first, then the first call.
 * @param {{percent: number, at: bigint}[]} marks
 * @param {{least: bigint, most: bigint}} scale
 * @param {number} width pixels
 * @param {(percent: number) => number} wide
 * @returns {Set<number>} their percents
 */
export function labelled(marks, scale, width, wide) {
  /** @type {{from: number, to: number}[]} */
  const taken = [];
  /** @type {Set<number>} */
  const found = new Set();
  const first = marks.toSorted((a, b) => Math.abs(b.percent - 75) - Math.abs(a.percent - 75) || b.percent - a.percent);
  for (const { percent, at } of first) {
    const middle = (place(at, scale) * width) / 100;
    const [from, to] = [middle - wide(percent) / 2, middle + wide(percent) / 2];
    if (taken.some((one) => from < one.to && to > one.from)) continue;
    taken.push({ from, to });
    found.add(percent);
  }
  return found;
}
