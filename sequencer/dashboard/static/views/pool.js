/** The heart: one pool, what each position does to it, how far it is from trouble, and what would happen if. */
import { useFeed } from "../feeds.js";
import { html } from "../html.js";
import { Alarms } from "../parts/alarm.js";
import { Panel } from "../parts/panel.js";
import { imagined } from "../parts/imagined.js";
import { Isolated } from "../parts/isolated.js";
import { PoolList } from "../parts/pool_list.js";
import { PostMortems } from "../parts/post_mortems.js";
import { wayOut } from "../parts/pool_strip.js";
import { Saved } from "../parts/saved.js";
import { Untold } from "../parts/untold.js";
import { Gauge } from "../pictures/gauge.js";
import { PoolPicture } from "../pictures/pool.js";
import { shockedOf, ShockView } from "../pictures/shock.js";
import { account, addressOf } from "../venue.js";

export function Pool() {
  const index = account.value;
  const seen = useFeed(index === null ? null : `account:${index}`);
  const markets = useFeed("prices");
  if (index === null) {
    return html`<${Panel} title="Pool"><p>No account yet. <a href=${addressOf("learn")}>Begin with play money</a>, or connect a wallet.</p><//>`;
  }
  if (seen === undefined) return html`<${Panel} title="Pool of account ${index}"><${Untold} of=${index} /><//>`;
  const { after, isOld, by } = imagined(index);
  // What is drawn over the pool: what is being filled in, else the shock that is looked at.
  const moved = shockedOf(seen);
  const over = after ?? (moved && atShock(seen, moved));
  return html`<div class="pool-view" data-account=${index}>
    <h1 class="sr">Pool of account ${index}</h1>
    <${Panel} title="Pool of account ${index}" area="pool" actions=${html`<${Alarms} />`}>
      <div class="pool-top">
        <${Gauge}
          big=${true}
          ratio=${seen.margin_ratio_ppm}
          call=${seen.margin_call_percent}
          after=${over && { ratio: over.margin_ratio_ppm, call: over.margin_call_percent }}
          isOld=${isOld}
        />
        <p class="pool-way">${by ? `As it would be ${by}` : moved ? "As it would be at the shock below" : wayOut(seen)}</p>
      </div>
      <${PoolPicture} seen=${seen} after=${over} isOld=${isOld} markets=${markets} name="pool" />
      <${PoolList} seen=${seen} after=${over} isOld=${isOld} markets=${markets} />
    <//>
    <${ShockView} seen=${seen} markets=${markets} />
    <${Saved} seen=${seen} markets=${markets} />
    <${Isolated} seen=${seen} markets=${markets} />
    <${PostMortems} seen=${seen} markets=${markets} />
  </div>`;
}

/**
 * The account at a shock, before anything of it is closed. What the node does not say of it there is left out.
 * @param {import("../wire").AccountView} seen
 * @param {import("../wire").Shocked} moved
 */
function atShock({ collateral_micros, reserved_micros, positions }, moved) {
  const { equity_micros, initial_micros, maintenance_micros, margin_ratio_ppm } = moved;
  const legs = moved.legs.map((leg) => ({ size_lots: positions.find((one) => one.market === leg.market)?.size_lots, ...leg }));
  return { collateral_micros, reserved_micros, equity_micros, initial_micros, maintenance_micros, margin_ratio_ppm, margin_call_percent: 0, positions: legs };
}
