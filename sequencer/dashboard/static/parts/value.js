/**
 * A number that does not dance, with its exact text on hover; and, where its name is told, its formula one click away.
 */
import { html } from "../html.js";
import { dollars, exactDollars } from "../format.js";

/**
 * Micro-dollars. `sign`: as gain or loss, by sign and colour both.
 * @param {{micros: import("../format.js").Integer | null | undefined, sign?: boolean, digits?: number, name?: string}} props
 */
export function Money({ micros, sign = false, digits = 2, name }) {
  if (micros === null || micros === undefined) return html`<span class="number none">—</span>`;
  const value = BigInt(micros);
  const turn = !sign || value === 0n ? "" : value > 0n ? "gain" : "loss";
  return html`<span class="number ${turn}" title=${exactDollars(value)} data-explain=${name}
    >${dollars(value, { digits, sign: sign ? "exceptZero" : "auto" })}</span
  >`;
}

/**
 * old -> new: what a number becomes by what the form says. Alone where nothing changes.
 * @param {{before: any, after: any, isOld?: boolean}} props already formatted
 */
export function Becomes({ before, after, isOld = false }) {
  const changes = after !== undefined && after !== null && after !== before;
  return html`<span class="becomes ${isOld ? "old" : ""}"
    ><span class=${changes ? "number was" : "number"}>${before}</span>${changes &&
    html`<span class="arrow" aria-hidden="true">→</span><span class="sr">becomes</span><span class="number will">${after}</span>`}</span
  >`;
}
