/**
 * What would come of the order in the form, old -> new, by the node's own preview; what it would refuse, and what it
 * would take instead.
 *
 * @import {MarketView, Outlook as Pool, Preview} from "../wire"
 */
import { html } from "../html.js";
import { decimal, dollars, exactDollars, NO_LIQUIDATION_PRICE, percent, price, size, times, WHY_NO_LIQUIDATION_PRICE } from "../format.js";
import { beyondLiquidation, firesAtOnce } from "../order.js";
import { within } from "../reasons.js";
import { fill, read, seen, seenAccount, seenMarket } from "./drafting.js";
import { Becomes } from "./value.js";
import { Why } from "./why.js";

export function Outlook() {
  const [{ preview, error, isOld }, market, account] = [seen.value, seenMarket.value, seenAccount.value];
  if (market === undefined) return null;
  const taken = preview !== null && preview.status !== "refused" ? preview : null;
  const before = preview?.before ?? account;
  const after = taken?.after;
  return html`<div class="outlook" aria-busy=${isOld}>
    <dl>
      ${ROWS.map(({ title, of }) => html`<div key=${title}><dt>${title}</dt><dd><${Becomes} before=${before ? of(before) : "—"} after=${after && of(after)} isOld=${isOld} /></dd></div>`)}
      <${Liquidations} before=${before} after=${after} market=${market} isOld=${isOld} />
      <div><dt>Fees</dt><dd title=${taken ? exactDollars(taken.fees_micros ?? "0") : ""}>${taken ? dollars(taken.fees_micros ?? "0", { digits: 4 }) : "—"}</dd></div>
    </dl>
    <div class="fate" role="status" aria-live="polite">
      ${error ? html`<p class="refusal">${error.message}</p>` : preview ? html`<${Fate} preview=${preview} market=${market} />` : html`<p class="soft">${isOld ? "Asking the node…" : isBehind() ? "It reduces what its entry has opened, once its trigger is reached." : account ? "Fill in the form to see what it changes." : "No account yet: this is where your margin stands."}</p>`}
      ${taken && html`<${Warnings} preview=${taken} market=${market} />`}
    </div>
  </div>`;
}

/** Whether the form is whole and only changes what comes after an entry: of that there is no preview. */
function isBehind() {
  return Boolean(read.value?.legs[0]?.beside.after);
}

/** @type {{title: string, of: (pool: Pool) => string}[]} */
const ROWS = [
  { title: "Equity", of: (pool) => dollars(pool.equity_micros) },
  { title: "Margin ratio", of: (pool) => percent(pool.margin_ratio_ppm) },
  { title: "Free collateral", of: (pool) => dollars(pool.free_collateral_micros) },
  { title: "Leverage", of: (pool) => times(pool.leverage_ppm) },
];

/** @param {{before: Pool | undefined, after: Pool | undefined, market: MarketView, isOld: boolean}} props */
function Liquidations({ before, after, market, isOld }) {
  const [is, will] = [liquidation(before, market), after && liquidation(after, market)];
  const why = (will ?? is) === NO_LIQUIDATION_PRICE ? WHY_NO_LIQUIDATION_PRICE : "While other prices stand still.";
  return html`<div title=${why}><dt>${market.name} liquidated at</dt><dd><${Becomes} before=${is} after=${will} isOld=${isOld} /></dd></div>`;
}

/** @param {Pool | undefined} pool @param {MarketView} market */
function liquidation(pool, market) {
  if (pool === undefined) return "—";
  const ticks = pool.positions.find((one) => one.market === market.name)?.liquidation_price_ticks;
  return ticks === null || ticks === undefined ? NO_LIQUIDATION_PRICE : price(ticks, market);
}

/** One sentence on what becomes of the order, or why nothing does. @param {{preview: Preview, market: MarketView}} props */
function Fate({ preview, market }) {
  const filled = BigInt(preview.filled_lots ?? 0);
  const left = BigInt(preview.remaining_lots ?? 0);
  if (preview.status === "refused") return html`<${Refusal} preview=${preview} market=${market} />`;
  const parts = [];
  if (filled > 0n) parts.push(`${size(filled, market)} filled at ${average(preview, market)} on average`);
  if (left > 0n) {
    const rest = { resting: "rests in the book", partially_filled: "rests in the book", armed: "waits for the trigger", dormant: "waits for its entry" }[preview.status];
    parts.push(`${size(left, market)} ${rest ?? `leaves${preview.refusal ? `: ${within(preview.refusal)}` : ""}`}`);
  }
  const taking = filled > 0n && left > 0n && preview.status === "expired";
  return html`<p>${parts.join("; ") || "Nothing would come of it: there is nothing to reduce."}</p>
    ${preview.if_filled && html`<p class="soft">Once it is filled: margin ratio ${percent(preview.if_filled.margin_ratio_ppm)}, liquidated at ${liquidation(preview.if_filled, market)}.</p>`}
    ${taking && html`<button type="button" class="chip" onClick=${() => take(filled, market)}>Ask for ${size(filled, market)} only</button>`}`;
}

/** @param {{preview: Preview, market: MarketView}} props */
function Refusal({ preview, market }) {
  const most = preview.largest_size_lots === null || preview.largest_size_lots === undefined ? null : BigInt(preview.largest_size_lots);
  const asked = read.value?.lots ?? 0n;
  if (most !== null && most > 0n) {
    return html`<p class="refusal">You ask for ${size(asked, market)} ${market.name}; your free collateral of ${dollars(preview.before.free_collateral_micros)} covers ${size(most, market)}.</p>
      <button type="button" class="chip" onClick=${() => take(most, market)}>Take ${size(most, market)} ${market.name}</button>`;
  }
  const offer = offered(preview, market);
  return html`<p class="refusal"><${Why} of=${preview.refusal} /></p>
    ${offer && html`<button type="button" class="chip" onClick=${() => fill(offer.changes)}>${offer.title}</button>`}`;
}

/**
 * What would be taken instead, by the limit that was passed.
 * @param {Preview} preview
 * @param {MarketView} market
 * @returns {{title: string, changes: Partial<import("../order.js").Form>} | null}
 */
function offered(preview, market) {
  if (preview.refusal === "POST_ONLY") return { title: "Let it take", changes: { isPostOnly: false } };
  if (preview.refusal === "TOO_SMALL") {
    const at = BigInt(preview.operation.limit_price_ticks ?? 0);
    if (at <= 0n) return null;
    const lots = (BigInt(market.minimum_notional_micros) + at - 1n) / at;
    return { title: `Take the smallest, ${size(lots, market)} ${market.name}`, changes: { unit: "units", size: decimal(lots, market.size_decimals) } };
  }
  if (preview.refusal === "REDUCE_ONLY") return { title: "Not reduce-only", changes: { isReduceOnly: false } };
  return null;
}

/** @param {bigint} lots @param {MarketView} market */
function take(lots, market) {
  fill({ unit: "units", size: decimal(lots, market.size_decimals) });
}

/** @param {Preview} preview @param {MarketView} market */
function average(preview, market) {
  let [lots, quote] = [0n, 0n];
  for (const one of preview.fills ?? []) {
    lots += BigInt(one.size_lots);
    quote += BigInt(one.size_lots) * BigInt(one.price_ticks);
  }
  return lots === 0n ? "—" : price(quote / lots, market);
}

/** What is taken, but not what one may expect. @param {{preview: Preview, market: MarketView}} props */
function Warnings({ preview, market }) {
  const legs = read.value?.legs ?? [];
  const told = [];
  const outcome = (legs.some((leg) => leg.isAfter) ? (preview.if_filled ?? preview.after) : preview.before).positions.find((one) => one.market === market.name);
  for (const leg of legs) {
    const before = beyondLiquidation(leg, outcome);
    if (before !== null) told.push(`This stop comes too late: liquidation begins at ${price(before, market)}, before ${price(leg.operation.trigger_price_ticks ?? 0, market)}.`);
    if (firesAtOnce(leg, market.price_ticks)) told.push(`The price is already beyond ${price(leg.operation.trigger_price_ticks ?? 0, market)}: it fires at once.`);
  }
  if (preview.leaving?.length) told.push(`${preview.leaving.length} open orders would leave: nothing covers them any more.`);
  if (preview.after.margin_call_percent > preview.before.margin_call_percent) told.push(`This brings a margin call of ${preview.after.margin_call_percent}%.`);
  return told.map((text) => html`<p key=${text} class="warning">${text}</p>`);
}
