/** A book as it is drawn: levels of one grid, each with what stands up to it. Pure. */

/**
 * @typedef {object} Level
 * @property {number} price_ticks
 * @property {number} lots
 * @property {number} sum lots up to here, the best first
 */

/**
 * The best levels of a side, those of one step put together at the price that is the worse one for who takes them.
 * @param {[number, number][]} levels the best first
 * @param {"bids" | "asks"} side
 * @param {number} step ticks
 * @param {number} most
 * @returns {Level[]}
 */
export function levelsOf(levels, side, step, most) {
  /** @type {Level[]} */
  const found = [];
  let sum = 0;
  for (const [price, lots] of levels) {
    const at = (side === "bids" ? Math.floor(price / step) : Math.ceil(price / step)) * step;
    const last = found.at(-1);
    sum += lots;
    if (last?.price_ticks === at) {
      last.lots += lots;
      last.sum = sum;
    } else if (found.length === most) break;
    else found.push({ price_ticks: at, lots, sum });
  }
  return found;
}

/**
 * The middle of the best prices, twice, so that it is whole; null where a side is empty.
 * @param {{bids: [number, number][], asks: [number, number][]}} book
 */
export function middleTwice(book) {
  const [bid, ask] = [book.bids[0], book.asks[0]];
  return bid && ask ? bid[0] + ask[0] : null;
}

/**
 * Lots of own orders by the price that they are drawn at.
 * @param {{market: string, side: "buy" | "sell", limit_price_ticks: number, remaining_lots: number, status: string}[]} orders
 * @param {string} market
 * @param {number} step
 */
export function ownLots(orders, market, step) {
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const one of orders) {
    if (one.market !== market || one.status !== "resting") continue;
    const at = (one.side === "buy" ? Math.floor(one.limit_price_ticks / step) : Math.ceil(one.limit_price_ticks / step)) * step;
    const key = `${one.side === "buy" ? "bids" : "asks"}:${at}`;
    found.set(key, (found.get(key) ?? 0) + one.remaining_lots);
  }
  return found;
}
