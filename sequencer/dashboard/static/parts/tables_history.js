/**
 * What was: fills, orders with their steps, funding and transfers, from lists that last; older ones on demand.
 *
 * @import {AccountView, FundingPaymentView, OrderEvent, OrderResult, OwnFillView, TransferView} from "../wire"
 */
import { useEffect, useMemo } from "preact/hooks";
import { html } from "../html.js";
import { api, useFeed } from "../feeds.js";
import { dayAndTime, decimal, exactTime, price, size, timeOfDay } from "../format.js";
import { averageOf, endOf, kindOf } from "../lives.js";
import { Pages } from "../pages.js";
import { codeOf } from "../reasons.js";
import { marketOf } from "../venue.js";
import { Table } from "./table.js";
import { Money } from "./value.js";
import { Why } from "./why.js";

const PAGE = 100;

/**
 * @template Row
 * @param {(where: {before?: string, after?: string}) => Promise<import("../pages.js").Page<Row>>} ask
 * @param {AccountView} view what is renewed by, whenever it changes
 */
function usePages(ask, view) {
  const pages = useMemo(() => new Pages(ask), [view.account]);
  // Every fill, payment and transfer moves collateral or a position; an order's steps move what is open.
  const mark = [view.collateral_micros, ...view.positions.map((one) => one.size_lots), ...view.open_orders.map((one) => `${one.order_id}${one.remaining_lots}`)].join(" ");
  useEffect(() => void pages.renew(), [pages, mark]);
  return pages;
}

/** @param {{pages: Pages<any>, name: string, columns: import("./table.js").Column<any>[], rowKey: (row: any) => string, empty: string}} props */
function Paged({ pages, name, columns, rowKey, empty }) {
  const { rows, hasOlder, isAsking, problem } = pages.shown.value;
  return html`<${Table} name=${name} columns=${columns} rows=${rows} rowKey=${rowKey} empty=${isAsking ? "Asking the node…" : empty}>${problem && html`<span class="warning">${problem}</span>`}<//>
    ${hasOlder && html`<button type="button" class="plain older" disabled=${isAsking} onClick=${() => pages.more()}>Older</button>`}`;
}

/** @type {import("./table.js").Column<{time_ms: number}>} */
export const TIME = { title: "Time", text: (one) => new Date(one.time_ms).toISOString(), cell: (one) => html`<span title=${exactTime(one.time_ms)}>${dayOf(one.time_ms)} ${timeOfDay(one.time_ms)}</span>` };

/** @param {number} ms */
function dayOf(ms) {
  return new Date(ms).toDateString() === new Date().toDateString() ? "" : new Date(ms).toLocaleDateString(navigator.language || "en", { day: "numeric", month: "short" });
}

function useMarkets() {
  /** @type {import("../wire").MarketView[] | undefined} */
  const markets = useFeed("prices");
  return (/** @type {{market: string}} */ one) => marketOf(markets, one.market) ?? { price_decimals: 0, size_decimals: 0 };
}

/** @param {{view: AccountView}} props */
export function Fills({ view }) {
  const pages = usePages(async (where) => {
    const { fills, ...page } = await api.call("catenary_fills", { account: view.account, limit: PAGE, ...where });
    return { rows: fills, ...page };
  }, view);
  const of = useMarkets();
  /** @type {import("./table.js").Column<OwnFillView>[]} */
  const columns = [
    TIME,
    { title: "Market", text: (one) => one.market },
    { title: "Side", text: (one) => one.side, cell: (one) => html`<span class=${one.side === "buy" ? "gain" : "loss"}>${one.side}</span>` },
    { title: "Role", text: (one) => one.role },
    { title: "Size", text: (one) => decimal(one.size_lots, of(one).size_decimals), cell: (one) => size(one.size_lots, of(one)) },
    { title: "Price", text: (one) => decimal(one.price_ticks, of(one).price_decimals), cell: (one) => price(one.price_ticks, of(one)) },
    { title: "Value", text: (one) => decimal(BigInt(one.size_lots) * BigInt(one.price_ticks), 6), cell: (one) => html`<${Money} micros=${BigInt(one.size_lots) * BigInt(one.price_ticks)} />` },
    { title: "Fee", text: (one) => decimal(one.fee_micros, 6), cell: (one) => html`<${Money} micros=${one.fee_micros} digits=${4} />` },
    { title: "Realised", text: (one) => decimal(one.realised_micros, 6), cell: (one) => html`<${Money} micros=${one.realised_micros} sign />` },
    { title: "Position then", text: (one) => decimal(one.position_lots, of(one).size_decimals), cell: (one) => size(one.position_lots, of(one)) },
    { title: "Order", text: (one) => one.order_id, cell: (one) => html`<span class="soft" title=${one.order_id}>${one.client_id || one.order_id.slice(-6)}</span>` },
  ];
  return html`<${Paged} pages=${pages} name="fills" columns=${columns} rowKey=${(/** @type {OwnFillView} */ one) => `${one.sequence} ${one.order_id}`} empty="No fills yet." />`;
}

/** @param {{view: AccountView}} props */
export function History({ view }) {
  const pages = usePages(async (where) => {
    const { orders, older } = await api.call("catenary_orderHistory", { account: view.account, limit: 50, ...("before" in where ? { before: where.before ?? "" } : {}) });
    return { rows: orders, older };
  }, view);
  const of = useMarkets();
  /** @param {OrderResult} one @returns {OrderEvent} */
  const first = (one) => /** @type {OrderEvent} */ (one.events[0]);
  /** What was signed, where the node tells it. @param {OrderResult} one @param {(terms: import("../wire").OrderTerms) => string} write */
  const signed = (one, write) => (one.terms ? write(one.terms) : "");
  /** @param {OrderResult} one @param {number | bigint | null} ticks */
  const priced = (one, ticks) => (ticks ? price(ticks, of(first(one))) : "");
  /** @param {OrderResult} one @param {number | bigint | null} ticks */
  const exact = (one, ticks) => (ticks ? decimal(ticks, of(first(one)).price_decimals) : "");
  /** @param {OrderResult} one */
  const size_ = (one) => one.terms?.size_lots ?? first(one).lots;
  /** @type {import("./table.js").Column<OrderResult>[]} */
  const columns = [
    { title: "Time", text: (one) => TIME.text(first(one)), cell: (one) => TIME.cell?.(first(one)) },
    { title: "Market", text: (one) => first(one).market },
    { title: "Side", text: (one) => first(one).side, cell: (one) => html`<span class=${first(one).side === "buy" ? "gain" : "loss"}>${first(one).side}</span>` },
    { title: "Type", text: (one) => signed(one, (terms) => kindOf(terms, first(one).side)) },
    { title: "Size", text: (one) => decimal(size_(one), of(first(one)).size_decimals), cell: (one) => size(size_(one), of(first(one))) },
    { title: "Price", text: (one) => exact(one, one.terms?.limit_price_ticks ?? null), cell: (one) => priced(one, one.terms?.limit_price_ticks ?? null) },
    { title: "Trigger", text: (one) => exact(one, one.terms?.trigger_price_ticks ?? null), cell: (one) => signed(one, (terms) => (terms.trigger === 0 ? "" : `${terms.trigger === 1 ? "≥" : "≤"} ${priced(one, terms.trigger_price_ticks)}`)) },
    { title: "Filled", text: (one) => decimal(one.filled_lots, of(first(one)).size_decimals), cell: (one) => size(one.filled_lots, of(first(one))) },
    { title: "At", text: (one) => exact(one, averageOf(one)), cell: (one) => priced(one, averageOf(one)) },
    { title: "Fees", text: (one) => decimal(one.fees_micros, 6), cell: (one) => html`<${Money} micros=${one.fees_micros} digits=${4} />` },
    { title: "What became of it", text: (one) => [one.status, endOf(one)?.reason].filter(Boolean).join(": "), cell: (one) => html`<${Ended} of=${one} />` },
    { title: "Steps", text: (one) => one.events.map((step) => step.event).join(" > "), cell: (one) => html`<${Steps} order=${one} of=${of} />` },
  ];
  return html`<${Paged} pages=${pages} name="order history" columns=${columns} rowKey=${(/** @type {OrderResult} */ one) => one.order_id} empty="No orders yet." />`;
}

/** @param {{of: OrderResult}} props */
function Ended({ of }) {
  const end = endOf(of);
  if (end === null) return html`<span class="soft ended">${of.filled_lots > 0 ? "Filled in part. " : ""}${of.terms ? `Lives until ${dayAndTime(of.terms.expires_at_ms)}.` : ""}</span>`;
  if (end.reason === "") return html`<span class="soft ended">Filled whole.</span>`;
  return html`<span class="ended ${end.isUnasked ? "warning" : ""}" title=${end.at === null ? "" : exactTime(end.at)}>${of.filled_lots > 0 ? "Filled in part. " : ""}<${Why} of=${codeOf(end.detail) || end.reason} /></span>`;
}

/** @param {{order: OrderResult, of: (one: {market: string}) => {price_decimals: number, size_decimals: number}}} props */
function Steps({ order, of }) {
  return html`<details class="steps">
    <summary>${order.events.length + order.untold_events}</summary>
    <ol>
      ${order.events.map(
        (step, at) => html`<li key=${at}><span class="soft number" title=${exactTime(step.time_ms)}>${timeOfDay(step.time_ms)}</span> ${step.event}
          ${step.lots > 0 ? html` ${size(step.lots, of(step))}` : ""}${step.price_ticks ? html` at ${price(step.price_ticks, of(step))}` : ""}${step.reason ? html` <span class="soft"><${Why} of=${codeOf(step.detail) || step.reason} /></span>` : ""}</li>`,
      )}
    </ol>
  </details>`;
}

/** @param {{view: AccountView}} props */
export function Funding({ view }) {
  const pages = usePages(async (where) => {
    const { payments, ...page } = await api.call("catenary_fundingPayments", { account: view.account, limit: PAGE, ...where });
    return { rows: payments, ...page };
  }, view);
  /** @type {import("./table.js").Column<FundingPaymentView>[]} */
  const columns = [
    TIME,
    { title: "Paid", text: (one) => decimal(one.paid_micros, 6), cell: (one) => html`<${Money} micros=${one.paid_micros} digits=${6} />` },
    { title: "Of", text: (one) => one.positions.map((leg) => leg.market).join(" ") },
    { title: "Collateral then", text: (one) => decimal(one.collateral_micros, 6), cell: (one) => html`<${Money} micros=${one.collateral_micros} />` },
  ];
  return html`<${Paged} pages=${pages} name="funding" columns=${columns} rowKey=${(/** @type {FundingPaymentView} */ one) => String(one.sequence)} empty="No funding was booked yet: it is, whenever the account is touched." />`;
}

/** @param {{view: AccountView}} props */
export function Transfers({ view }) {
  const pages = usePages(async (where) => {
    const { transfers, ...page } = await api.call("catenary_transfers", { account: view.account, limit: PAGE, ...where });
    return { rows: transfers, ...page };
  }, view);
  /** @type {import("./table.js").Column<TransferView>[]} */
  const columns = [
    TIME,
    { title: "Kind", text: (one) => one.kind, cell: (one) => one.kind.replaceAll("_", " ") },
    { title: "Amount", text: (one) => decimal(one.amount_micros, 6), cell: (one) => html`<${Money} micros=${one.amount_micros} sign />` },
    { title: "Fee", text: (one) => decimal(one.fee_micros, 6), cell: (one) => html`<${Money} micros=${one.fee_micros} digits=${4} />` },
    { title: "Other account", text: (one) => String(one.other ?? "") },
    { title: "Collateral then", text: (one) => decimal(one.collateral_micros, 6), cell: (one) => html`<${Money} micros=${one.collateral_micros} />` },
  ];
  return html`<${Paged} pages=${pages} name="transfers" columns=${columns} rowKey=${(/** @type {TransferView} */ one) => `${one.sequence} ${one.kind}`} empty="Nothing was moved yet." />`;
}
