/**
 * The form of a position in an account of its own, read. Pure.
 *
 * @import {MarketView, PositionView, UnsignedOperation} from "../wire"
 */
import { decimal, parsed } from "../format.js";
import { SLIPPAGE, worstPrice } from "../order.js";
import { IMMEDIATE_OR_CANCEL } from "../terms.js";

const DOLLAR = 1_000_000n;
/** What a new account costs. */
const CREATION_MICROS = DOLLAR;

/** @typedef {{market: string, side: "buy" | "sell", size: string, amount: string}} Form as it was typed */

/**
 * The form to begin with: a new position, or one of the pool's, with twice its initial requirement at stake.
 * @param {PositionView | undefined} position
 * @param {MarketView[]} markets
 * @returns {Form}
 */
export function opening(position, markets) {
  const market = markets.find((one) => one.name === position?.market) ?? markets[0];
  if (position === undefined || market === undefined) return { market: market?.name ?? "", side: "buy", size: "", amount: "100" };
  const size = BigInt(position.size_lots);
  const stake = (2n * BigInt(position.initial_micros)) / DOLLAR + 2n;
  return {
    market: position.market,
    side: size > 0n ? "buy" : "sell",
    size: decimal(size < 0n ? -size : size, market.size_decimals),
    amount: String(stake),
  };
}

/**
 * The first order and the money that goes along; or what is wrong.
 * @param {Form} form
 * @param {MarketView} market
 * @param {number} from the account that pays
 * @returns {{order: UnsignedOperation | null, micros: bigint, problem: string}}
 */
export function read(form, market, from) {
  const lots = parsed(form.size, market.size_decimals);
  const micros = parsed(form.amount, 6);
  const wrong = (/** @type {string} */ problem) => ({ order: null, micros: 0n, problem });
  if (lots === null || lots <= 0n) return wrong(`Say how much ${market.name}, with at most ${market.size_decimals} decimals.`);
  if (micros === null || micros <= CREATION_MICROS) return wrong("Say how many dollars, more than the one that the account costs.");
  const away = /** @type {bigint} */ (parsed(SLIPPAGE.market, 4));
  /** @type {UnsignedOperation} */
  const order = {
    kind: "order",
    account: from,
    market: market.index,
    side: form.side === "buy" ? 0 : 1,
    size_lots: lots.toString(),
    limit_price_ticks: worstPrice(BigInt(market.price_ticks), form.side, away).toString(),
    time_in_force: IMMEDIATE_OR_CANCEL,
    max_fee_ppm: Math.max(market.maker_fee_ppm, market.taker_fee_ppm),
  };
  return { order, micros, problem: "" };
}
