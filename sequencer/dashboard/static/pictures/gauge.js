/**
 * How far from trouble: maintenance over equity as a bar to 100%, where liquidation begins, with the levels at which a
 * margin call is told. A number, a word and a length each say it; the colour only repeats it.
 *
 * @import {Ratio} from "./gauge_words.js"
 */
import { percent } from "../format.js";
import { html } from "../html.js";
import { lengthOf, standingOf } from "./gauge_words.js";
import { CALL_LEVELS } from "./pool_shape.js";

/**
 * @param {{ratio: Ratio, call: number, after?: {ratio: Ratio, call: number} | null, isOld?: boolean, big?: boolean}} props
 */
export function Gauge({ ratio, call, after = null, isOld = false, big = false }) {
  const now = standingOf(ratio, call);
  const then = after === null ? null : standingOf(after.ratio, after.call);
  const shown = (/** @type {Ratio} */ one) => (one === null || one === undefined ? "over 100%" : percent(one));
  const changes = after !== null && after.ratio !== ratio;
  const text = `${shown(ratio)}, ${now.word}${changes ? `; would be ${shown(after.ratio)}, ${then?.word}` : ""}`;
  return html`<div
    class="gauge step-${now.step} ${big ? "big" : ""} ${isOld ? "old" : ""}"
    role="meter"
    aria-label="Margin ratio"
    aria-valuemin="0"
    aria-valuemax="100"
    aria-valuenow=${Math.round(lengthOf(ratio))}
    aria-valuetext=${text}
  >
    <div class="gauge-words" aria-hidden="true">
      <strong class="number">${shown(ratio)}</strong>
      ${changes && html`<span class="arrow">→</span><strong class="number will step-${then?.step}">${shown(after.ratio)}</strong>`}
      <span class="gauge-word">${changes ? then?.word : now.word}</span>
    </div>
    <svg aria-hidden="true" width="100%" height=${big ? 18 : 10}>
      <rect class="gauge-track" width="100%" height="100%" rx="3" />
      <rect class="gauge-fill" height="100%" rx="3" style=${{ width: `${lengthOf(ratio)}%` }} />
      ${changes && html`<rect class="gauge-then step-${then?.step}" y="1" height=${big ? 16 : 8} rx="2" style=${{ width: `${lengthOf(after.ratio)}%` }} />`}
      ${CALL_LEVELS.slice(0, -1).map((level) => html`<line key=${level} class="gauge-mark" x1=${`${level}%`} x2=${`${level}%`} y1="0" y2="100%" />`)}
    </svg>
  </div>`;
}
