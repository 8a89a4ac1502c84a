/** Keys of the trade view. None is taken from who types, nor from the browser. */
import { signal } from "@preact/signals";
import { html } from "../html.js";
import { decimal } from "../format.js";
import { addressOf } from "../venue.js";
import { clear, fill, isSheetOpen, seenMarket } from "./drafting.js";
import { chosenTable, TABLES } from "./tables_chosen.js";

const isShown = signal(false);

/** @type {Record<string, {says: string, act: () => void}>} */
const KEYS = {
  b: { says: "buy", act: () => (fill({ side: "buy" }), focus("order-size")) },
  s: { says: "sell", act: () => (fill({ side: "sell" }), focus("order-size")) },
  p: { says: "to the price", act: () => focus("order-price") },
  l: { says: "limit order", act: () => fill({ kind: "limit" }) },
  m: { says: "order at the market", act: () => fill({ kind: "market" }) },
  o: { says: "oracle price into the form", act: oracle },
  g: { says: "to the pool", act: () => (location.hash = addressOf("pool")) },
  "?": { says: "these keys", act: () => (isShown.value = !isShown.value) },
  Escape: { says: "empty the form, close what is open", act: escape },
};

/** @param {KeyboardEvent} event */
export function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const target = /** @type {HTMLElement} */ (event.target);
  const isTyping = target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);
  if (isTyping) {
    // The first Escape leaves the field; what was typed stays.
    if (event.key === "Escape") target.blur();
    return;
  }
  const table = TABLES[Number(event.key) - 1];
  if (/^[1-9]$/.test(event.key) && table) chosenTable.value = table.key;
  else if (KEYS[event.key]) KEYS[event.key]?.act();
  else return;
  event.preventDefault();
}

/** @param {string} id */
function focus(id) {
  document.getElementById(id)?.focus();
}

function oracle() {
  const market = seenMarket.peek();
  if (market) fill({ price: decimal(market.price_ticks, market.price_decimals) });
}

function escape() {
  if (isShown.peek()) isShown.value = false;
  else if (isSheetOpen.peek()) isSheetOpen.value = false;
  else clear();
}

export function Keys() {
  if (!isShown.value) return html`<button type="button" class="plain keys-button" aria-label="Keys" title="Keys: ?" onClick=${() => (isShown.value = true)}>?</button>`;
  return html`<div class="keys" role="dialog" aria-label="Keys">
    <button type="button" class="plain" aria-label="Close" onClick=${() => (isShown.value = false)}>×</button>
    <dl>
      ${Object.entries(KEYS).map(([key, { says }]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${says}</dd></div>`)}
      <div><dt><kbd>1</kbd> to <kbd>${TABLES.length}</kbd></dt><dd>tables below</dd></div>
    </dl>
  </div>`;
}
