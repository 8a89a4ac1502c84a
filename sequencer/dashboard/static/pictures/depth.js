/** The book: asks above, bids below, the middle between them; a bar is what stands up to its price. Nothing flashes. */
import { html } from "../html.js";
import { useFeed } from "../feeds.js";
import { decimal, price, size } from "../format.js";
import { remembered } from "../memory.js";
import { fill, form, seenAccount } from "../parts/drafting.js";
import { takes, waits } from "../order.js";
import { levelsOf, middleTwice, ownLots } from "./depth_levels.js";

/** How many levels of a side have room, by how many a market has been seen to have: a thin book leaves no empty bands. */
const ROOMS = [5, 8, 11];
const LEVELS = /** @type {number} */ (ROOMS.at(-1));
/** The most that a market's book has shown: its rows only become more, so that nothing jumps to and fro. @type {Map<string, number>} */
const shownMost = new Map();
const STEPS = [1, 10, 100, 1000];
const step = remembered("depth-step", 1);

/** @param {{market: import("../wire").MarketView}} props */
export function Depth({ market }) {
  /** @type {import("../model.js").BookState | undefined} */
  const book = useFeed(`book_deltas:${market.name}`);
  if (book === undefined) return html`<p class="soft">Waiting for the book.</p>`;
  const asks = levelsOf(book.asks, "asks", step.value, LEVELS);
  const bids = levelsOf(book.bids, "bids", step.value, LEVELS);
  const most = Math.max(asks.length, bids.length, shownMost.get(market.name) ?? 0);
  shownMost.set(market.name, most);
  const rooms = ROOMS.find((one) => one >= most) ?? LEVELS;
  const own = ownLots(seenAccount.value?.open_orders ?? [], market.name, step.value);
  const whole = Math.max(asks.at(-1)?.sum ?? 0, bids.at(-1)?.sum ?? 0, 1);
  /** @param {import("./depth_levels.js").Level[]} levels @param {"bids" | "asks"} side */
  const rows = (levels, side) =>
    Array.from({ length: rooms }, (_, at) => html`<${Row} key=${at} level=${levels[at]} side=${side} market=${market} whole=${whole} own=${own.get(`${side}:${levels[at]?.price_ticks}`)} />`);
  return html`<table class="depth rooms-${rooms}">
    <caption class="sr">Order book of ${market.name}; a click takes a price into the form</caption>
    <thead><tr><th scope="col">Price</th><th scope="col">Size</th><th scope="col">Sum</th></tr></thead>
    <tbody class="asks">${rows(asks, "asks").toReversed()}</tbody>
    <tbody class="middle"><tr><td colspan="3"><${Middle} book=${book} market=${market} /></td></tr></tbody>
    <tbody class="bids">${rows(bids, "bids")}</tbody>
  </table>`;
}

/** @param {{book: import("../model.js").BookState, market: import("../wire").MarketView}} props */
function Middle({ book, market }) {
  const twice = middleTwice(book);
  const [bid, ask] = [book.bids[0], book.asks[0]];
  if (twice === null || !bid || !ask) return html`<span class="soft">One side of the book is empty.</span>`;
  // Half a tick has one decimal more.
  const middle = decimal(BigInt(twice) * 5n, market.price_decimals + 1);
  const spread = ((ask[0] - bid[0]) * 2e6) / twice;
  return html`<button type="button" class="plain number" title="Middle of the book: take it into the form" onClick=${() => toForm(Math.floor(twice / 2), market)}>${Number(middle).toLocaleString(navigator.language, { minimumFractionDigits: market.price_decimals, maximumFractionDigits: market.price_decimals + 1 })}</button>
    <span class="soft">spread ${(spread / 1e4).toFixed(3)}%</span>`;
}

/** @param {{level: import("./depth_levels.js").Level | undefined, side: "bids" | "asks", market: import("../wire").MarketView, whole: number, own: number | undefined}} props */
function Row({ level, side, market, whole, own }) {
  // Places stay where they are when the book is thin: nothing jumps.
  if (level === undefined) return html`<tr class="empty" aria-hidden="true"><td colspan="3"> </td></tr>`;
  return html`<tr class=${own ? "own" : ""} onClick=${() => toForm(level.price_ticks, market)} title=${own ? `Yours: ${size(own, market)}` : null}>
    <td class=${side === "bids" ? "gain" : "loss"}>${own ? html`<span class="mark" aria-label="your order">◆</span>` : null}${price(level.price_ticks, market)}</td>
    <td>${size(level.lots, market)}</td>
    <td class="sum"><span class="bar" style=${{ transform: `scaleX(${level.sum / whole})` }}></span><span>${size(level.sum, market)}</span></td>
  </tr>`;
}

/** @param {number} ticks @param {import("../wire").MarketView} market */
function toForm(ticks, market) {
  const text = decimal(ticks, market.price_decimals);
  const { kind } = form.peek();
  if (!takes(kind)) fill({ price: text });
  else if (waits(kind)) fill({ trigger: text });
  else fill({ kind: "limit", price: text });
}

/** How wide a level is. @param {{market: import("../wire").MarketView}} props */
export function DepthStep({ market }) {
  return html`<label class="step"><span class="sr">Levels of</span>
    <select value=${String(step.value)} onChange=${(/** @type {any} */ event) => (step.value = Number(event.currentTarget.value))}>
      ${STEPS.map((one) => html`<option key=${one} value=${String(one)} selected=${one === step.value}>${decimal(one, market.price_decimals)}</option>`)}
    </select></label>`;
}
