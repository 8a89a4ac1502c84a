/** Insurance funds, the own places in deleveraging, and who stands before whom: renewed as long as they are shown. */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { api, link } from "../feeds.js";
import { percent } from "../format.js";
import { html } from "../html.js";
import { account } from "../venue.js";
import { Money } from "./value.js";

/** @typedef {"long" | "short"} Side */
/** @import {MarketView, PositionView, RankView} from "../wire" */

const SHOWN = 50;
const RENEWED_EVERY_MS = 5_000;

/** Whose ranks are listed; empty: the first market's. */
const chosen = signal({ market: "", side: /** @type {Side} */ ("long") });

/** @param {{markets: MarketView[], positions: PositionView[]}} props */
export function InsuranceFunds({ markets, positions }) {
  /** @param {string} name */
  const own = (name) => {
    const held = positions.find((one) => one.market === name);
    if (!held) return "none";
    const side = BigInt(held.size_lots) > 0n ? "long" : "short";
    return held.deleveraging_rank === null ? `${side}, in no line` : `${side}, place ${held.deleveraging_rank}`;
  };
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table: Insurance funds and ranks"><table>
    <thead><tr><th>Market</th><th>Insurance fund</th><th>Your place in deleveraging</th></tr></thead>
    <tbody>${markets.map((one) => html`<tr key=${one.name}><td>${one.name}</td><td><${Money} micros=${one.fund_micros} /></td><td>${own(one.name)}</td></tr>`)}</tbody>
  </table></div>
  <p class="soft">Where a fund cannot take over a position, those with the highest gain and leverage on the other side are closed against it, the first place first.</p>`;
}

/** The newest ranks of one line, asked again and again; null before the first. @param {string} market @param {Side} side */
function useRanks(market, side) {
  const [found, setFound] = useState(/** @type {{of: string, ranks: RankView[]} | null} */ (null));
  const [wrong, setWrong] = useState("");
  const of = `${market} ${side}`;
  useEffect(() => {
    if (market === "") return undefined;
    let isOver = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let later;
    const ask = async () => {
      try {
        const ranks = await api.call("catenary_deleveragingRanking", { market, side, limit: SHOWN });
        if (isOver) return;
        setFound({ of, ranks });
        setWrong("");
      } catch (error) {
        if (isOver) return;
        setWrong(error instanceof Error ? error.message : String(error));
      }
      later = setTimeout(ask, RENEWED_EVERY_MS);
    };
    ask();
    return () => {
      isOver = true;
      clearTimeout(later);
    };
  }, [of, link.value]);
  return { ranks: found?.of === of ? found.ranks : null, wrong };
}

/** @param {{markets: MarketView[]}} props */
export function Ranking({ markets }) {
  const market = markets.some((one) => one.name === chosen.value.market) ? chosen.value.market : (markets[0]?.name ?? "");
  const { side } = chosen.value;
  const { ranks, wrong } = useRanks(market, side);
  return html`<div class="row">
      <label for="ranks-market">Market</label>
      <select id="ranks-market" value=${market} onChange=${(/** @type {any} */ event) => (chosen.value = { market: event.currentTarget.value, side })}>
        ${markets.map((one) => html`<option key=${one.name} value=${one.name} selected=${one.name === market}>${one.name}</option>`)}
      </select>
      <label for="ranks-side">Side</label>
      <select id="ranks-side" value=${side} onChange=${(/** @type {any} */ event) => (chosen.value = { market, side: event.currentTarget.value })}>
        <option value="long" selected=${side === "long"}>long</option>
        <option value="short" selected=${side === "short"}>short</option>
      </select>
    </div>
    ${wrong && html`<p class="warning" role="status">These are as the node told them last: ${wrong}</p>`}
    ${ranks === null ? html`<p class="soft">Waiting for the node.</p>` : ranks.length === 0 ? html`<p class="soft">No ${side} position in ${market} has gained: only those that have are closed against others.</p>` : html`<${List} ranks=${ranks} />`}`;
}

/** @param {{ranks: RankView[]}} props */
function List({ ranks }) {
  const isOfOwn = (/** @type {RankView} */ one) => one.account !== null && one.account === account.value;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table: Deleveraging ranks"><table>
      <thead><tr><th>Place</th><th>Account</th><th>Gain × leverage</th></tr></thead>
      <tbody>${ranks.map((one) => html`<tr key=${one.rank} class=${isOfOwn(one) ? "own" : ""}><td>${one.rank}</td><td>${one.account === null ? "private" : one.account}${isOfOwn(one) && " · yours"}</td><td>${percent(one.score_ppm)}</td></tr>`)}</tbody>
    </table></div>
    ${ranks.length === SHOWN && html`<p class="soft">The first ${SHOWN} of this side.</p>`}`;
}
