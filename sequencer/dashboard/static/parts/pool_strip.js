/** The pool always in sight: one line that says how far from trouble, and the picture below it, but on a phone. */
import { link, useFeed, useRefusal } from "../feeds.js";
import { dollars, percent } from "../format.js";
import { html } from "../html.js";
import { remembered } from "../memory.js";
import { Gauge } from "../pictures/gauge.js";
import { PoolPicture } from "../pictures/pool.js";
import { session } from "../session.js";
import { account, addressOf, route } from "../venue.js";
import { imagined } from "./imagined.js";
import { ShowKey } from "./untold.js";
import { Becomes } from "./value.js";

const isDrawn = remembered("strip.drawn", true);

export function PoolStrip() {
  const found = useFeed(account.value === null ? null : `account:${account.value}`);
  const markets = useFeed("prices");
  const refused = useRefusal(account.value === null ? null : `account:${account.value}`);
  // The pool's own view has the large picture.
  const isElsewhere = route.value[0] !== "pool";
  if (account.value === null) return null;
  if (found === undefined) return refused === null ? html`<${Waiting} of=${account.value} isDrawn=${isElsewhere && isDrawn.value} />` : html`<${Hidden} of=${account.value} />`;
  const { after, isOld, by } = imagined(found.account);
  /** @param {string} key */
  const money = (key) => html`<${Becomes} before=${dollars(found[key])} after=${after && dollars(/** @type {any} */ (after)[key])} isOld=${isOld} />`;
  return html`<section class="pool-strip ${link.value === "open" ? "" : "stale"}" aria-label="Pool">
    <div class="pool-line">
    <a href=${addressOf("pool")} class="pool-strip-account">Pool ${found.account}</a>
    <span><span class="soft">equity</span> ${money("equity_micros")}</span>
    <span><span class="soft">free</span> ${money("free_collateral_micros")}</span>
    <span class="strip-fall soft">${by || wayOut(found)}</span>
    <div class="grow"><${Gauge}
      ratio=${found.margin_ratio_ppm}
      call=${found.margin_call_percent}
      after=${after && { ratio: after.margin_ratio_ppm, call: after.margin_call_percent }}
      isOld=${isOld}
    /></div>
    ${isElsewhere && html`<button type="button" class="plain strip-fold" aria-expanded=${isDrawn.value} onClick=${() => (isDrawn.value = !isDrawn.value)}>${isDrawn.value ? "Fold" : "Draw"}</button>`}
    </div>
    ${isElsewhere && isDrawn.value && html`<div class="strip-picture"><${PoolPicture} seen=${found} after=${after} isOld=${isOld} markets=${markets} name="strip" isSmall=${true} /></div>`}
  </section>`;
}

/** One line for an account of which the node tells nothing. @param {{of: number}} props */
function Hidden({ of }) {
  const isOwn = session.value?.accounts.includes(of) ?? false;
  return html`<section class="pool-strip" aria-label="Pool"><div class="pool-line">
    <a href=${addressOf("pool")} class="pool-strip-account">Pool ${of}</a>
    <span class="soft">not told by this node</span>
    ${isOwn && html`<div class="grow"></div><${ShowKey} of=${of} />`}
  </div></section>`;
}

/** The room that the pool will take, so that nothing below it jumps. @param {{of: number, isDrawn: boolean}} props */
function Waiting({ of, isDrawn }) {
  return html`<section class="pool-strip" aria-label="Pool" aria-busy="true">
    <div class="pool-line"><a href=${addressOf("pool")} class="pool-strip-account">Pool ${of}</a><span class="soft">Waiting for the node.</span></div>
    ${isDrawn && html`<div class="strip-picture"></div>`}
  </section>`;
}

/** How far all prices together may move, in a sentence. @param {{fall_bp: number | null, rise_bp: number | null, positions: any[]}} seen */
export function wayOut({ fall_bp, rise_bp, positions }) {
  if (positions.length === 0) return "no position, nothing at stake";
  if (fall_bp === 0 || rise_bp === 0) return "below what has to stay now";
  const parts = [fall_bp === null ? "" : `fall ${percent(fall_bp * 100, 1)}`, rise_bp === null ? "" : `rise ${percent(rise_bp * 100, 1)}`].filter(Boolean);
  return parts.length === 0 ? "no move of all prices together liquidates it" : `liquidated if all prices ${parts.join(" or ")}`;
}
