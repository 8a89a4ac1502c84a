/**
 * Where a number comes from: whatever has data-explain=NAME opens its formula and the inputs of this moment, by mouse
 * and keyboard alike. An input that is itself such a number leads on to its own formula.
 *
 * @import {Explained} from "../wire"
 */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ApiError } from "../api.js";
import { api } from "../feeds.js";
import { html } from "../html.js";
import { account } from "../venue.js";
import { found, inputsOf, MEANING, valueText } from "./explain_words.js";

/**
 * @typedef {object} Open
 * @property {string} name
 * @property {HTMLElement} from what gets the focus back
 * @property {number} account
 * @property {Explained[] | null} numbers
 * @property {string} wrong
 */

/** @type {import("@preact/signals").Signal<Open | null>} */
const open = signal(null);

/** @param {string} name @param {HTMLElement} from */
async function show(name, from) {
  const whose = Number(from.closest("[data-account]")?.getAttribute("data-account") ?? account.peek());
  if (!Number.isInteger(whose)) return;
  const asked = { name, from, account: whose, numbers: null, wrong: "" };
  open.value = asked;
  /** @param {Partial<Open>} answer */
  const tell = (answer) => {
    const now = open.peek();
    // Another number may have been asked for meanwhile, or none.
    if (now !== null && now.from === from && now.account === whose) open.value = { ...now, ...answer };
  };
  try {
    tell({ numbers: (await api.call("catenary_explain", { account: whose })).numbers });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    tell({ wrong: error.message });
  }
}

function close() {
  const now = open.peek();
  open.value = null;
  if (now?.from.isConnected) now.from.focus();
}

document.addEventListener("click", (event) => {
  const from = event.target instanceof Element ? event.target.closest("[data-explain]") : null;
  if (from instanceof HTMLElement) show(from.dataset["explain"] ?? "", from);
});

/** Where the popover stands: below its number, inside the window. @param {HTMLElement} from */
function placeOf(from) {
  const { left, bottom } = from.getBoundingClientRect();
  const wide = Math.min(440, innerWidth - 16);
  const top = bottom + 300 > innerHeight ? Math.max(8, innerHeight - 360) : bottom + 6;
  return { left: `${Math.max(8, Math.min(left, innerWidth - wide - 8))}px`, top: `${top}px`, width: `${wide}px` };
}

/** The popover; once in the page. */
export function Explaining() {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const now = open.value;
  const name = now?.name;
  useEffect(() => {
    if (now === null) return undefined;
    box.current?.focus();
    /** @param {KeyboardEvent} event */
    const key = (event) => {
      if (event.key === "Escape") close();
    };
    /** @param {PointerEvent} event */
    const away = (event) => {
      if (event.target instanceof Node && !box.current?.contains(event.target)) open.value = null;
    };
    addEventListener("keydown", key);
    addEventListener("pointerdown", away);
    return () => {
      removeEventListener("keydown", key);
      removeEventListener("pointerdown", away);
    };
  }, [now?.from]);
  if (now === null || name === undefined) return null;
  const number = found(now.numbers, name);
  return html`<div class="explaining" role="dialog" aria-label="Where ${words(name)} comes from" tabindex="-1" ref=${box} style=${placeOf(now.from)}>
    <header>
      <strong>${words(name)}</strong>
      <button type="button" class="plain" aria-label="Close" onClick=${close}>×</button>
    </header>
    ${MEANING[name.split(".").at(-1) ?? ""] && html`<p>${MEANING[name.split(".").at(-1) ?? ""]}</p>`}
    ${number !== null && html`<${Formula} number=${number} numbers=${now.numbers ?? []} />`}
    ${now.numbers !== null && number === null && html`<p class="soft">The node explains no ${words(name)} of this account now.</p>`}
    ${now.numbers === null && html`<p class="soft" role="status">${now.wrong || "Asking the node…"}</p>`}
  </div>`;
}

/** @param {string} name */
function words(name) {
  return name.replaceAll("_", " ").replaceAll(".", " · ");
}

/** @param {{number: Explained, numbers: Explained[]}} props */
function Formula({ number, numbers }) {
  return html`<p class="explained-value number">${valueText(number.value, number.unit)}</p>
    <code class="formula">${number.formula}</code>
    <dl>
      ${inputsOf(number, numbers).map(
        ({ key, text, leads }) => html`<div key=${key}>
          <dt>${leads === null ? key : html`<button type="button" class="link" onClick=${() => (open.value = open.value && { ...open.value, name: leads })}>${key}</button>`}</dt>
          <dd class="number">${text}</dd>
        </div>`,
      )}
    </dl>
    <p class="soft">Whole numbers as the law has them: dollars in millionths, sizes in lots, prices in ticks. Account ${open.value?.account}, as of now.</p>`;
}
