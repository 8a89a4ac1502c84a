/**
 * A number that does not dance, with its exact text on hover; and, where its name is told, its formula one click away.
 */
import { html } from "../html.js";
import { dollars, exactDollars } from "../format.js";

/**
 * Micro-dollars. `sign`: as gain or loss, by sign and colour both. `name`: what catenary_explain calls it.
 * @param {{micros: import("../format.js").Integer | null | undefined, sign?: boolean, digits?: number, name?: string}} props
 */
export function Money({ micros, sign = false, digits = 2, name }) {
  if (micros === null || micros === undefined) return html`<span class="number none">—</span>`;
  const value = BigInt(micros);
  const turn = !sign || value === 0n ? "" : value > 0n ? "gain" : "loss";
  const text = dollars(value, { digits, sign: sign ? "exceptZero" : "auto" });
  return html`<${Explained} name=${name} title=${exactDollars(value)} look=${turn}>${text}<//>`;
}

/**
 * Text of a number that opens its formula; plain where it has no name.
 * @param {{name?: string, title?: string, look?: string, children?: any}} props
 */
export function Explained({ name, title, look = "", children }) {
  if (name === undefined) return html`<span class="number ${look}" title=${title}>${children}</span>`;
  return html`<button type="button" class="number explain ${look}" title=${title} data-explain=${name} aria-haspopup="dialog">${children}</button>`;
}

/**
 * old -> new: what a number becomes by what the form says. Alone where nothing changes.
 * @param {{before: any, after: any, isOld?: boolean, name?: string}} props already formatted
 */
export function Becomes({ before, after, isOld = false, name }) {
  const changes = after !== undefined && after !== null && after !== before;
  return html`<span class="becomes ${isOld ? "old" : ""}"
    ><${Explained} name=${name} look=${changes ? "was" : ""}>${before}<//>${changes &&
    html`<span class="arrow" aria-hidden="true">→</span><span class="sr">becomes</span><span class="number will">${after}</span>`}</span
  >`;
}
