/**
 * What each channel's messages make of its state. Pure: a state and a message in, a state out; nothing is changed in
 * place, so that whoever holds a state may compare it with the next by identity.
 *
 * @import {AccountView, BatchView, CandleView, Depth, DepthChange, FillView, FundingNow, MarginCall, MarketView, OpenOrder, OrderEvent, PostMortemView} from "./wire"
 */

// Of lists that only grow.
export const KEPT_TRADES = 50;
export const KEPT_CALLS = 20;
export const KEPT_STEPS = 200;

/**
 * A book with the sum that its next message has to come to.
 * @typedef {object} BookState
 * @property {[number, number][]} bids price and size, the best first
 * @property {[number, number][]} asks
 * @property {number} time_ms
 */

/**
 * Open orders by order_id, and the newest steps of all.
 * @typedef {object} OrdersState
 * @property {ReadonlyMap<string, OpenOrder>} open
 * @property {OrderEvent[]} steps the newest first
 * @property {boolean} isUnsure whether an order came that no message described whole: ask for the list
 */

/** A message that does not go together with its state: begin anew with a snapshot. */
export class Torn extends Error {}

/**
 * The state behind a snapshot.
 * @param {string} channel
 * @param {any} snapshot
 */
export function opened(channel, snapshot) {
  switch (family(channel)) {
    case "book_deltas:":
      return checked({ bids: snapshot.bids, asks: snapshot.asks, time_ms: snapshot.time_ms }, snapshot.checksum);
    case "orders:":
      return { open: new Map(snapshot.map((/** @type {OpenOrder} */ one) => [one.order_id, one])), steps: [], isUnsure: false };
    case "trades:":
      return newestFirst(snapshot);
    case "batches":
    case "rescues":
      return [...snapshot].sort((a, b) => b.number - a.number);
    default:
      return snapshot;
  }
}

/**
 * The state behind a message. Throws Torn.
 * @param {string} channel
 * @param {any} state
 * @param {any} data
 */
export function told(channel, state, data) {
  switch (family(channel)) {
    case "book_deltas:":
      return changedBook(state, data);
    case "orders:":
      return changedOrders(state, data);
    case "trades:":
      return [data, ...state].slice(0, KEPT_TRADES);
    case "candles:":
      return changedCandles(state, data);
    case "margin_calls":
      return changedCalls(state, data);
    case "rescues":
      return [data, ...state].slice(0, KEPT_CALLS);
    case "batches":
      return changedBatches(state, data);
    default:
      // prices, funding, book and account: each message is the whole state.
      return data;
  }
}

/**
 * The channel's name, or the beginning, up to its colon, of a family's.
 * @param {string} channel
 */
export function family(channel) {
  const colon = channel.indexOf(":");
  return colon < 0 ? channel : channel.slice(0, colon + 1);
}

/**
 * @param {BookState} book
 * @param {DepthChange} change
 * @returns {BookState}
 */
function changedBook(book, change) {
  const bids = changedSide(book.bids, change.bids, -1);
  const asks = changedSide(book.asks, change.asks, 1);
  return checked({ bids, asks, time_ms: change.time_ms }, change.checksum);
}

/**
 * @param {[number, number][]} levels
 * @param {[number, number][]} changes
 * @param {1 | -1} order 1 where the lowest price is the best
 */
function changedSide(levels, changes, order) {
  if (changes.length === 0) return levels;
  const kept = new Map(levels);
  for (const [price, size] of changes) {
    if (size === 0) kept.delete(price);
    else kept.set(price, size);
  }
  return /** @type {[number, number][]} */ ([...kept].sort((a, b) => order * (a[0] - b[0])));
}

/**
 * @param {BookState} book
 * @param {number} sum
 */
function checked(book, sum) {
  if (checksum(book) !== sum) throw new Torn("the book is not the venue's");
  return book;
}

/**
 * CRC-32 of "price:size" of the ten best bids, then of the ten best asks, all joined by ",".
 * @param {BookState} book
 */
export function checksum(book) {
  const text = [...book.bids.slice(0, 10), ...book.asks.slice(0, 10)].map(([price, size]) => `${price}:${size}`).join(",");
  let sum = 0xffffffff;
  for (let at = 0; at < text.length; at++) {
    sum = (sum >>> 8) ^ (CRC[(sum ^ text.charCodeAt(at)) & 0xff] ?? 0);
  }
  return (sum ^ 0xffffffff) >>> 0;
}

const CRC = Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

const ENDED = new Set(["cancelled", "expired", "refused", "voided", "filled"]);

/**
 * @param {OrdersState} state
 * @param {OrderEvent[]} steps
 * @returns {OrdersState}
 */
function changedOrders(state, steps) {
  const open = new Map(state.open);
  let isUnsure = state.isUnsure;
  for (const step of steps) {
    const known = open.get(step.order_id);
    if (step.remaining_lots === 0 || ENDED.has(step.status)) open.delete(step.order_id);
    else if (known !== undefined) {
      open.set(step.order_id, { ...known, status: step.status, filled_lots: step.filled_lots, remaining_lots: step.remaining_lots });
    } else if (["resting", "armed", "dormant"].includes(step.status)) {
      // A step says less than an open order has: its trigger, its slot, its end.
      isUnsure = true;
    }
  }
  return { open, steps: [...steps.toReversed(), ...state.steps].slice(0, KEPT_STEPS), isUnsure };
}

/**
 * @param {CandleView[]} candles the oldest first
 * @param {CandleView[]} newest
 */
function changedCandles(candles, newest) {
  const kept = new Map(candles.map((one) => [one.start_ms, one]));
  for (const one of newest) kept.set(one.start_ms, one);
  return [...kept.values()].sort((a, b) => a.start_ms - b.start_ms).slice(-1000);
}

/**
 * @param {MarginCall[]} calls
 * @param {MarginCall} call
 */
function changedCalls(calls, call) {
  const others = calls.filter((one) => one.account !== call.account);
  return (call.level_percent === 0 ? others : [call, ...others]).slice(0, KEPT_CALLS);
}

/**
 * @param {BatchView[]} batches the newest first
 * @param {BatchView[]} changed
 */
function changedBatches(batches, changed) {
  const kept = new Map(batches.map((one) => [one.number, one]));
  // Behind a roll-back the numbers from the changed ones on are others.
  const first = Math.min(...changed.map((one) => one.number));
  for (const number of kept.keys()) if (number > first) kept.delete(number);
  for (const one of changed) kept.set(one.number, one);
  return [...kept.values()].sort((a, b) => b.number - a.number).slice(0, 200);
}

/** @param {FillView[]} fills */
function newestFirst(fills) {
  const [first, last] = [fills[0], fills.at(-1)];
  return first && last && first.time_ms < last.time_ms ? fills.toReversed() : fills;
}
