/**
 * Open orders: cancel one, all, or change one in place.
 *
 * @import {AccountView, OpenOrder, UnsignedOperation} from "../wire"
 */
import { html } from "../html.js";
import { useFeed } from "../feeds.js";
import { dayAndTime, decimal, exactTime, price, relative, size } from "../format.js";
import { endsSoon, kindOf } from "../lives.js";
import { slippageOf } from "../order.js";
import { send, session } from "../session.js";
import { addressOf, hue, marketOf, now, second } from "../venue.js";
import { fill, isSheetOpen, turnTo } from "./drafting.js";
import { Table } from "./table.js";
import { say } from "./toast.js";

/** @param {{view: AccountView}} props */
export function OpenOrders({ view }) {
  /** @type {import("../wire").MarketView[] | undefined} */
  const markets = useFeed("prices");
  void second.value;
  const owned = session.value?.accounts.includes(view.account) ?? false;
  /** @param {OpenOrder} one */
  const of = (one) => marketOf(markets, one.market) ?? { price_decimals: 0, size_decimals: 0, price_ticks: 0 };
  /** @type {import("./table.js").Column<OpenOrder>[]} */
  const columns = [
    { title: "Market", text: (one) => one.market, cell: (one) => html`<a href=${addressOf("trade", one.market)} class=${hue(markets, one.market)}><span class="dot" aria-hidden="true"></span>${one.market}</a>` },
    { title: "Side", text: (one) => one.side, cell: (one) => html`<span class=${one.side === "buy" ? "gain" : "loss"}>${one.side}</span>` },
    { title: "Type", text: (one) => kindOf(one, one.side) },
    { title: "Size", text: (one) => decimal(one.size_lots, of(one).size_decimals), cell: (one) => size(one.size_lots, of(one)) },
    { title: "Filled", text: (one) => decimal(one.filled_lots, of(one).size_decimals), cell: (one) => size(one.filled_lots, of(one)) },
    { title: "Price", text: (one) => decimal(one.limit_price_ticks, of(one).price_decimals), cell: (one) => price(one.limit_price_ticks, of(one)) },
    { title: "Trigger", text: (one) => (one.trigger ? decimal(one.trigger_price_ticks, of(one).price_decimals) : ""), cell: (one) => (one.trigger ? `${one.trigger === 1 ? "≥" : "≤"} ${price(one.trigger_price_ticks, of(one))}` : "") },
    { title: "Where", text: (one) => one.status, cell: (one) => html`<span title=${STATUS[one.status]}>${one.status}</span>` },
    { title: "Ends", text: (one) => new Date(one.expires_at_ms).toISOString(), cell: (one) => html`<span class=${endsSoon(one, now()) ? "warning" : ""} title=${exactTime(one.expires_at_ms)}>${dayAndTime(one.expires_at_ms)}, ${relative(one.expires_at_ms, now())}</span>` },
    { title: "", text: () => "", cell: (one) => html`<span class="actions">
        <button type="button" class="chip" disabled=${!owned} onClick=${() => change(one, of(one), view.open_orders)}>Change</button>
        <button type="button" class="chip" disabled=${!owned} onClick=${() => cancel({ kind: "cancel", account: view.account, slot: one.slot }, `${one.side} ${one.market}`)}>Cancel</button>
      </span>` },
  ];
  return html`<${Table} name="open orders" columns=${columns} rows=${view.open_orders} rowKey=${(/** @type {OpenOrder} */ one) => one.order_id} empty="No open orders.">
    ${view.open_orders.length > 1 && html`<button type="button" class="chip" disabled=${!owned} onClick=${() => cancel({ kind: "cancel_all", account: view.account }, "all orders")}>Cancel all</button>`}
  <//>`;
}

/** @type {Record<string, string>} */
const STATUS = { resting: "Stands in the book.", armed: "Waits for its trigger.", dormant: "Waits for a fill of its entry." };

/** @param {UnsignedOperation} operation @param {string} what */
async function cancel(operation, what) {
  try {
    await send(operation);
    say("done", "Cancelled", what);
  } catch (error) {
    say("wrong", `Not cancelled: ${what}`, error instanceof Error ? error.message : String(error));
  }
}

/**
 * Takes an order into the form; what is sent takes its slot, or nothing does where it is filled meanwhile. What was asked
 * beside it is asked again: a stop keeps its link to a target, and to an entry that stands.
 * @param {OpenOrder} one
 * @param {{price_decimals: number, size_decimals: number, price_ticks: number}} market
 * @param {OpenOrder[]} beside all that are open
 */
function change(one, market, beside) {
  const entry = beside.some((other) => other.order_id === one.after) ? one.after : "";
  turnTo(one.market);
  const isStop = (one.trigger === 1) === (one.side === "buy");
  const isTaking = one.time_in_force !== 0;
  fill({
    side: one.side,
    kind: one.trigger === 0 ? "limit" : isStop ? (isTaking ? "stop" : "stop_limit") : isTaking ? "take_profit" : "take_profit_limit",
    price: decimal(one.limit_price_ticks, market.price_decimals),
    trigger: one.trigger ? decimal(one.trigger_price_ticks, market.price_decimals) : "",
    size: decimal(one.remaining_lots, market.size_decimals),
    unit: "units", force: "gtt", isPostOnly: one.post_only, isReduceOnly: one.reduce_only, isGuarded: false,
    slippage: one.trigger && isTaking ? slippageOf(BigInt(one.trigger_price_ticks), BigInt(one.limit_price_ticks)) : "",
    selfTrade: one.self_trade, group: one.group === 0 ? "" : `${one.group}`,
    replaces: { order_id: one.order_id, slot: one.slot, after: entry },
  });
  isSheetOpen.value = true;
}
