/**
 * What became of what was sent, in a sentence each.
 *
 * @import {MarketView, OrderResult} from "../wire"
 * @import {Leg} from "../order.js"
 */
import { price, size } from "../format.js";
import { within } from "../reasons.js";
import { say } from "./toast.js";

/**
 * @param {Leg[]} legs
 * @param {OrderResult[]} results
 * @param {MarketView} market
 */
export function told(legs, results, market) {
  results.forEach((result, at) => {
    const side = legs[at]?.operation.side === 0 ? "Buy" : "Sell";
    const isOver = result.filled_lots === 0 && ["expired", "refused", "cancelled"].includes(result.status);
    say(isOver ? "wrong" : "done", `${side} ${market.name}: ${isOver || result.status !== "expired" ? result.status.replaceAll("_", " ") : "partly filled"}`, sentence(result, market));
  });
  if (results.length < legs.length) say("wrong", "Stop and target were not sent", "Their entry was not filled and does not wait.");
}

/** @param {OrderResult} result @param {MarketView} market */
export function sentence(result, market) {
  const parts = [];
  if (result.filled_lots > 0) parts.push(`${size(result.filled_lots, market)} filled${result.fills.length > 0 ? ` at ${average(result, market)}` : ""}`);
  if (result.remaining_lots > 0 && ["resting", "partially_filled", "armed", "dormant"].includes(result.status)) parts.push(`${size(result.remaining_lots, market)} open`);
  if (result.reason && result.reason !== result.status) parts.push(`the rest left: ${within(result.reason)}`);
  return parts.join("; ");
}

/** @param {OrderResult} result @param {MarketView} market */
function average(result, market) {
  const lots = result.fills.reduce((sum, one) => sum + BigInt(one.size_lots), 0n);
  const quote = result.fills.reduce((sum, one) => sum + BigInt(one.size_lots) * BigInt(one.price_ticks), 0n);
  return lots === 0n ? "—" : price(quote / lots, market);
}
