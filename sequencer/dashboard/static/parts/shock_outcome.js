/**
 * One shock in words: what would be closed, in which order, how much of it, and what remains.
 *
 * @import {AccountView, MarketView, Shocked} from "../wire"
 */
import { basisPoints, dollars, percent, size } from "../format.js";
import { html } from "../html.js";
import { marketOf } from "../venue.js";
import { Becomes } from "./value.js";

/** @param {{seen: AccountView, shocked: Shocked | null, shock: number, markets: MarketView[] | undefined, clear: () => void}} props */
export function Outcome({ seen, shocked, shock, markets, clear }) {
  if (shock === 0) return html`<p class="shock-outcome soft">Move the slider, or click on a place: the pool above is drawn as it would be there.</p>`;
  if (shocked === null) return html`<p class="shock-outcome soft">Asking the node…</p>`;
  const gone = BigInt(shocked.deficit_micros);
  return html`<div class="shock-outcome">
    <p>
      At <strong>${basisPoints(shock)}</strong>: equity <${Becomes} before=${dollars(seen.equity_micros)} after=${dollars(shocked.equity_micros)} />,
      margin ratio <${Becomes} before=${ratioText(seen.margin_ratio_ppm)} after=${ratioText(shocked.margin_ratio_ppm)} />
      <button type="button" class="plain" onClick=${clear}>back to now</button>
    </p>
    <div aria-live="polite">
      ${shocked.liquidated.length === 0 ? html`<p>Nothing would be closed.</p>` : html`<${Closed} seen=${seen} shocked=${shocked} markets=${markets} />`}
      ${gone > 0n && html`<p>${dollars(gone)} would be missing once all is closed: the market's fund pays that, then profit that has not matured. You owe nothing.</p>`}
    </div>
  </div>`;
}

/** @param {{seen: AccountView, shocked: Shocked, markets: MarketView[] | undefined}} props */
function Closed({ seen, shocked, markets }) {
  return html`<p>Liquidation would close, the largest requirement first and no lot more than brings the pool back to its initial requirement:</p>
    <ol>
      ${shocked.liquidated.map(({ market, lots, lost_micros }) => {
        const found = marketOf(markets, market);
        const held = BigInt(seen.positions.find((one) => one.market === market)?.size_lots ?? 0);
        const all = held < 0n ? -held : held;
        const write = (/** @type {bigint} */ value) => (found ? size(value, found) : String(value));
        const rest = all - BigInt(lots);
        const turn = BigInt(lost_micros);
        return html`<li key=${market}>
          <strong>${market}</strong> ${write(BigInt(lots))} of ${write(all)}${rest > 0n ? `, ${write(rest)} remain` : ", all of it"};
          <span class="soft"> the move ${turn > 0n ? `had cost it ${dollars(turn)}` : turn < 0n ? `had brought it ${dollars(-turn)}` : "had not touched it"}</span>
        </li>`;
      })}
    </ol>
    <p class="soft">At the moved oracle price. A worse price in the book closes more.</p>`;
}

/** @param {import("../format.js").Integer | null} ratio */
export function ratioText(ratio) {
  return ratio === null ? "over 100%" : percent(ratio);
}
