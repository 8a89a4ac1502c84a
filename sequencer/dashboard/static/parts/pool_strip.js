/** The pool in one line, always in sight: what there is, what is free, how far from trouble, and whether one is called. */
import { useFeed } from "../feeds.js";
import { dollars, percent } from "../format.js";
import { html } from "../html.js";
import { Gauge } from "../pictures/gauge.js";
import { account, addressOf } from "../venue.js";
import { imagined } from "./imagined.js";
import { Becomes } from "./value.js";

export function PoolStrip() {
  const found = useFeed(account.value === null ? null : `account:${account.value}`);
  if (account.value === null || found === undefined) return null;
  const { after, isOld } = imagined(found.account);
  /** @param {string} key */
  const money = (key) => html`<${Becomes} before=${dollars(found[key])} after=${after && dollars(/** @type {any} */ (after)[key])} isOld=${isOld} />`;
  return html`<section class="pool-strip" aria-label="Pool">
    <a href=${addressOf("pool")} class="pool-strip-account">Pool ${found.account}</a>
    <span><span class="soft">equity</span> ${money("equity_micros")}</span>
    <span><span class="soft">free</span> ${money("free_collateral_micros")}</span>
    <span class="strip-fall"><span class="soft">liquidated if all</span> ${wayOut(found)}</span>
    <div class="grow"><${Gauge}
      ratio=${found.margin_ratio_ppm}
      call=${found.margin_call_percent}
      after=${after && { ratio: after.margin_ratio_ppm, call: after.margin_call_percent }}
      isOld=${isOld}
    /></div>
  </section>`;
}

/** How far all prices together may move. @param {{fall_bp: number | null, rise_bp: number | null, positions: any[]}} seen */
export function wayOut({ fall_bp, rise_bp, positions }) {
  if (positions.length === 0) return "no position";
  const parts = [fall_bp === null ? "" : `fall ${percent(fall_bp * 100, 1)}`, rise_bp === null ? "" : `rise ${percent(rise_bp * 100, 1)}`];
  return parts.filter(Boolean).join(" or ") || "never: no common move does";
}
