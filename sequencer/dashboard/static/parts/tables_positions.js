/**
 * Positions, each with its way out: into the form, where its preview stands before anything is sent.
 *
 * @import {AccountView, PositionView} from "../wire"
 */
import { html } from "../html.js";
import { useFeed } from "../feeds.js";
import { decimal, NO_LIQUIDATION_PRICE, price, size, WHY_NO_LIQUIDATION_PRICE } from "../format.js";
import { addressOf, hue, marketOf } from "../venue.js";
import { turnTo } from "./drafting.js";
import { toReduce } from "./order_form.js";
import { Table } from "./table.js";
import { Money } from "./value.js";

/** @param {{view: AccountView}} props */
export function Positions({ view }) {
  /** @type {import("../wire").MarketView[] | undefined} */
  const markets = useFeed("prices");
  /** @param {PositionView} one */
  const of = (one) => marketOf(markets, one.market) ?? { price_decimals: 0, size_decimals: 0 };
  /** @type {import("./table.js").Column<PositionView>[]} */
  const columns = [
    { title: "Market", text: (one) => one.market, cell: (one) => html`<a href=${addressOf("trade", one.market)} class=${hue(markets, one.market)}><span class="dot" aria-hidden="true"></span>${one.market}</a>` },
    { title: "Side", text: sideOf, cell: (one) => html`<span class=${sideOf(one) === "long" ? "gain" : "loss"}>${sideOf(one)}</span>` },
    { title: "Size", text: (one) => decimal(one.size_lots, of(one).size_decimals), cell: (one) => size(magnitude(one.size_lots), of(one)) },
    { title: "Value", text: (one) => decimal(one.notional_micros, 6), cell: (one) => html`<${Money} micros=${one.notional_micros} />` },
    { title: "Entry", text: (one) => decimal(entry(one), of(one).price_decimals), cell: (one) => price(entry(one), of(one)) },
    { title: "Oracle price", text: (one) => decimal(one.price_ticks, of(one).price_decimals), cell: (one) => price(one.price_ticks, of(one)) },
    { title: "Gain", text: (one) => decimal(one.unrealised_micros, 6), cell: (one) => html`<${Money} micros=${one.unrealised_micros} sign />` },
    { title: "Funding due", text: (one) => decimal(one.pending_funding_micros, 6), cell: (one) => html`<${Money} micros=${one.pending_funding_micros} />` },
    { title: "Has to stay", text: (one) => decimal(one.maintenance_micros, 6), cell: (one) => html`<${Money} micros=${one.maintenance_micros} />` },
    { title: "Liquidated at", text: (one) => (one.liquidation_price_ticks === null ? NO_LIQUIDATION_PRICE : decimal(one.liquidation_price_ticks, of(one).price_decimals)), cell: (one) => liquidation(one, of(one)) },
    { title: "Rank", text: (one) => String(one.deleveraging_rank ?? ""), cell: (one) => html`<span title="Place in line should positions be closed against each other; 1 is first.">${one.deleveraging_rank ?? "—"}</span>` },
    { title: "", text: () => "", cell: (one) => html`<${Actions} position=${one} />` },
  ];
  return html`<${Table} name="positions" columns=${columns} rows=${view.positions} rowKey=${(/** @type {PositionView} */ one) => one.market} empty="No positions. What you buy or sell stands here." />`;
}

/** @param {{position: PositionView}} props */
function Actions({ position }) {
  /** @param {"market" | "both"} kind @param {string} [share] */
  const go = (kind, share) => {
    turnTo(position.market);
    toReduce(position, kind, share);
  };
  return html`<span class="actions">
    <button type="button" class="chip" onClick=${() => go("market")}>Close</button>
    <button type="button" class="chip" onClick=${() => go("market", "50")}>Reduce</button>
    <button type="button" class="chip" onClick=${() => go("both")}>Stop</button>
  </span>`;
}

/** @param {PositionView} one */
function sideOf(one) {
  return BigInt(one.size_lots) > 0n ? "long" : "short";
}

/** @param {number | string} lots */
function magnitude(lots) {
  const whole = BigInt(lots);
  return whole < 0n ? -whole : whole;
}

/** What a lot was bought or sold for on average, in whole ticks. @param {PositionView} one */
export function entry(one) {
  return magnitude(String(BigInt(one.cost_micros) / BigInt(one.size_lots)));
}

/** @param {PositionView} one @param {{price_decimals: number}} market */
function liquidation(one, market) {
  if (one.liquidation_price_ticks === null) return html`<span class="soft" title=${WHY_NO_LIQUIDATION_PRICE}>${NO_LIQUIDATION_PRICE}</span>`;
  return html`<span title="While other prices stand still.">${price(one.liquidation_price_ticks, market)}</span>`;
}
