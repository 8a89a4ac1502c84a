/**
 * How long an order lives, what kind it is, and how it ended. Pure.
 *
 * @import {OpenOrder, OrderResult, OrderTerms} from "./wire"
 */

const DAY = 86_400_000;
const LONGEST = 31 * DAY;
const FORCES = ["", "IOC", "FOK"];
const AT_OR_ABOVE = 1;

/** @typedef {Pick<OrderTerms, "trigger" | "time_in_force" | "post_only" | "reduce_only">} Kinded */

/** Whether it guards a position: it waits for a trigger, and only reduces. @param {Pick<OrderTerms, "trigger" | "reduce_only">} one */
export const guards = (one) => one.trigger !== 0 && one.reduce_only;

/** What kind of order it is, in words. @param {Kinded} one @param {"buy" | "sell"} side */
export function kindOf(one, side) {
  const isStop = (one.trigger === AT_OR_ABOVE) === (side === "buy");
  const force = FORCES[one.time_in_force] ?? "";
  const base = one.trigger === 0 ? (force === "" ? "limit" : `limit, ${force}`) : `${isStop ? "stop" : "take profit"}${force === "" ? " limit" : ""}`;
  return [base, one.post_only ? "post-only" : "", one.reduce_only ? "reduce-only" : ""].filter(Boolean).join(", ");
}

/**
 * Whether an order's end is near: the last quarter of its life, and of a long one the last day. An order that this page
 * has signed bears the time of its signature as its sequence; another's is taken to live a day.
 * @param {Pick<OpenOrder, "expires_at_ms" | "sequence">} one
 * @param {number} now
 */
export function endsSoon({ expires_at_ms, sequence }, now) {
  const whole = expires_at_ms - sequence;
  const life = whole > 0 && whole <= LONGEST ? whole : DAY;
  return expires_at_ms - now <= Math.min(DAY, life / 4);
}

const OPEN = ["armed", "dormant", "resting", "partially_filled"];
/** Ends that are nobody's wish. */
const UNASKED = ["expired", "dismissed", "market", "margin", "displaced", "refused", "unfilled", "unpaid", "voided"];

/**
 * When and why an order ended; null: it is open. `reason`: a code, empty where it was filled whole.
 * @param {Pick<OrderResult, "status" | "reason" | "events">} one
 * @returns {{at: number | null, reason: string, detail: string, isUnasked: boolean} | null}
 */
export function endOf({ status, reason, events }) {
  if (OPEN.includes(status)) return null;
  const last = events.at(-1);
  const why = status === "filled" ? "" : last?.reason || reason || status;
  return { at: last?.time_ms ?? null, reason: why, detail: last?.detail ?? "", isUnasked: UNASKED.includes(why) };
}

/**
 * What was paid or got for a lot on average, in whole ticks; null where nothing was filled, or not all of it is told.
 * @param {Pick<OrderResult, "fills" | "filled_lots">} one
 */
export function averageOf({ fills, filled_lots }) {
  let [lots, quote] = [0n, 0n];
  for (const one of fills) {
    lots += BigInt(one.size_lots);
    quote += BigInt(one.size_lots) * BigInt(one.price_ticks);
  }
  return lots === 0n || lots !== BigInt(filled_lots) ? null : quote / lots;
}
