/**
 * What helps an account that is called: how much to add, and what to reduce. Pure; the node says what would come of it.
 *
 * @import {Leg, MarketView, Outlook, PositionView, UnsignedOperation} from "./wire"
 */
import { parsed } from "./format.js";
import { opposite, SLIPPAGE, worstPrice } from "./order.js";
import { CALL_LEVELS, EASING } from "./pictures/pool_shape.js";
import { IMMEDIATE_OR_CANCEL } from "./terms.js";

const DOLLAR = 1_000_000n;

/**
 * What has to come in for the account to be at its initial requirement; where it is there already, for the call to end,
 * which eases only some points below its level. In whole dollars, rounded up; zero where nothing is missing.
 * @param {Pick<Outlook, "equity_micros" | "initial_micros" | "reserved_micros" | "maintenance_micros">} seen
 */
export function topUpMicros(seen) {
  const equity = BigInt(seen.equity_micros);
  const missing = BigInt(seen.initial_micros) + BigInt(seen.reserved_micros) - equity;
  const eased = BigInt(/** @type {number} */ (CALL_LEVELS[0]) - EASING);
  const called = upTo(BigInt(seen.maintenance_micros) * 100n, eased) + 1n - equity;
  const wanted = missing > 0n ? missing : called;
  return wanted <= 0n ? 0n : upTo(wanted, DOLLAR) * DOLLAR;
}

/** @param {bigint} value @param {bigint} by */
function upTo(value, by) {
  return (value + by - 1n) / by;
}

/**
 * The position that frees most: what its initial requirement is, since its gain or loss stays in the pool.
 * @template {Pick<Leg, "initial_micros">} Any
 * @param {Any[]} legs
 * @returns {Any | undefined}
 */
export function freesMost(legs) {
  return legs.toSorted((a, b) => (BigInt(b.initial_micros) > BigInt(a.initial_micros) ? 1 : -1))[0];
}

/**
 * An order that only reduces, filled at once at what stands in the book.
 * @param {number} account
 * @param {Pick<PositionView, "size_lots">} position
 * @param {MarketView} market
 * @param {bigint} percent of the position, rounded up to lots
 * @returns {UnsignedOperation}
 */
export function reducing(account, position, market, percent) {
  const size = BigInt(position.size_lots);
  const side = opposite(size > 0n ? "buy" : "sell");
  const away = /** @type {bigint} */ (parsed(SLIPPAGE.market, 4));
  return {
    kind: "order",
    account,
    market: market.index,
    side: side === "buy" ? 0 : 1,
    size_lots: upTo((size < 0n ? -size : size) * percent, 100n).toString(),
    limit_price_ticks: worstPrice(BigInt(market.price_ticks), side, away).toString(),
    time_in_force: IMMEDIATE_OR_CANCEL,
    reduce_only: true,
    max_fee_ppm: Math.max(market.maker_fee_ppm, market.taker_fee_ppm),
  };
}

/**
 * The own account that can give most, and how much of what is wanted it gives; null where nobody can give a dollar.
 * @param {(Pick<Outlook, "account" | "withdrawable_micros"> | undefined)[]} others
 * @param {bigint} wanted
 * @returns {{from: number, micros: bigint} | null}
 */
export function giver(others, wanted) {
  let found = null;
  for (const one of others) {
    const free = BigInt(one?.withdrawable_micros ?? 0);
    const micros = free < wanted ? free : wanted;
    if (one !== undefined && micros >= DOLLAR && (found === null || micros > found.micros)) found = { from: one.account, micros };
  }
  return found;
}
