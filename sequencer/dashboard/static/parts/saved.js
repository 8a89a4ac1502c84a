/**
 * What one pool saves: the collateral that these positions need together, against what each would need alone; and what
 * each position gives to or takes from the pool.
 *
 * @import {AccountView, Contribution, Leg, MarketView} from "../wire"
 */
import { useEffect, useState } from "preact/hooks";
import { api } from "../feeds.js";
import { dollars, percent } from "../format.js";
import { html } from "../html.js";
import { hue, second } from "../venue.js";
import { Panel } from "./panel.js";
import { Money } from "./value.js";

const FRESH_MS = 30_000;

/** @param {{seen: AccountView, markets: MarketView[] | undefined}} props */
export function Saved({ seen, markets }) {
  const [found, tell] = useState(/** @type {Contribution | null} */ (null));
  const moment = document.hidden ? 0 : Math.floor(second.value / FRESH_MS);
  const held = seen.positions.map((one) => `${one.market}${one.size_lots}`).join(" ");
  useEffect(() => {
    let isOver = false;
    api.call("catenary_contribution", { account: seen.account, shock_bp: 0 }).then(
      (answer) => isOver || tell(answer),
      // It is asked for again in a moment.
      () => {},
    );
    return () => {
      isOver = true;
    };
  }, [seen.account, held, moment]);
  if (found === null || found.account !== seen.account || found.legs.length === 0) return null;
  return html`<${Panel} title="What one pool saves" area="saved">
    <${Compared} saved=${found.saved} />
    <div class="scroll" tabindex="0" role="region" aria-label="What each position gives and takes"><table>
      <caption class="sr">What each position gives and takes</caption>
      <thead><tr><th scope="col">Market</th><th scope="col">Gives</th><th scope="col">Takes</th><th scope="col" title="Of what has to stay">Share</th><th scope="col" title="The margin ratio were it not there">Without it</th></tr></thead>
      <tbody>${found.legs.map((leg) => html`<${Row} key=${leg.market} leg=${leg} look=${hue(markets, leg.market)} />`)}</tbody>
    </table></div>
  <//>`;
}

/** @param {{saved: Contribution["saved"]}} props */
function Compared({ saved }) {
  const most = BigInt(saved.isolated_micros) || 1n;
  const wide = (/** @type {string} */ micros) => `${Number((BigInt(micros) * 1000n) / most) / 10}%`;
  const gain = BigInt(saved.saved_micros);
  return html`<p>
      ${gain > 0n
        ? html`One pool needs <strong>${dollars(gain)} less</strong> collateral: what one position has gained stands for what another has lost.`
        : "Nothing is saved now: no position has gained more than it needs, so that none stands for another. The pool still lives longer than its parts."}
    </p>
    <dl class="compared">
      <div><dt>together</dt><dd><span class="compared-bar" style=${{ width: wide(saved.together_micros) }}></span><${Money} micros=${saved.together_micros} /></dd></div>
      <div><dt>each alone</dt><dd><span class="compared-bar" style=${{ width: wide(saved.isolated_micros) }}></span><${Money} micros=${saved.isolated_micros} /></dd></div>
    </dl>`;
}

/** @param {{leg: Leg, look: string}} props */
function Row({ leg, look }) {
  return html`<tr>
    <th scope="row"><span class="swatch ${look}" aria-hidden="true"></span>${leg.market}</th>
    <td><${Money} micros=${leg.to_equity_micros} sign=${true} name=${`${leg.market}.unrealised`} /></td>
    <td><${Money} micros=${leg.initial_micros} name=${`${leg.market}.initial`} /></td>
    <td class="number">${percent(leg.share_ppm, 0)}</td>
    <td class="number">${leg.margin_ratio_without_ppm === null ? "over 100%" : percent(leg.margin_ratio_without_ppm)}</td>
  </tr>`;
}
