/** Keys of the trade view. None is taken from who types, nor from the browser. */
import { signal } from "@preact/signals";
import { html } from "../html.js";
import { decimal } from "../format.js";
import { addressOf } from "../venue.js";
import { clear, fill, form, isSheetOpen, seenMarket } from "./drafting.js";
import { around, isTyping } from "./focus.js";
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
  "?": { says: "these keys", act: () => (isShown.peek() ? hide() : show()) },
  Escape: { says: "put a message away, close what is open, empty the form", act: escape },
};

/** @param {KeyboardEvent} event */
export function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isTyping(event.target)) {
    // The first Escape leaves the field for what it stands in; what was typed stays.
    if (event.key === "Escape") around(/** @type {HTMLElement} */ (event.target))?.focus({ preventScroll: true });
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
  if (isShown.peek()) hide();
  else if (isSheetOpen.peek()) closeSheet();
  else clear();
}

/** What had the focus when the keys were asked for. @type {Element | null} */
let asked = null;

function show() {
  asked = document.activeElement;
  isShown.value = true;
  requestAnimationFrame(() => /** @type {HTMLElement | null} */ (document.querySelector(".keys"))?.focus());
}

function hide() {
  isShown.value = false;
  requestAnimationFrame(() => {
    const back = asked instanceof HTMLElement && asked.isConnected && asked !== document.body ? asked : document.querySelector(".keys-button");
    /** @type {HTMLElement | null} */ (back)?.focus();
  });
}

/** Closes the form where it stands over the view, and goes back to what opened it. */
export function closeSheet() {
  isSheetOpen.value = false;
  requestAnimationFrame(() => /** @type {HTMLElement | null} */ (document.querySelector(`.sheet-bar .${form.peek().side}`))?.focus());
}

export function Keys() {
  if (!isShown.value) return html`<button type="button" class="plain keys-button" aria-label="Keys" title="Keys: ?" onClick=${show}><kbd>?</kbd> keys</button>`;
  return html`<div class="keys" role="dialog" aria-label="Keys" tabindex="-1">
    <button type="button" class="plain" aria-label="Close" onClick=${hide}>×</button>
    <dl>
      ${Object.entries(KEYS).map(([key, { says }]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${says}</dd></div>`)}
      <div><dt><kbd>1</kbd> to <kbd>${TABLES.length}</kbd></dt><dd>tables below</dd></div>
    </dl>
  </div>`;
}
