/**
 * The numbers of the pool's picture, all of them, for whoever reads and does not look.
 *
 * @import {MarketView, Outlook, PositionView} from "../wire"
 */
import { dollars, NO_LIQUIDATION_PRICE, percent, price, size, times, WHY_NO_LIQUIDATION_PRICE } from "../format.js";
import { html } from "../html.js";
import { hue, marketOf } from "../venue.js";
import { Becomes, Money } from "./value.js";

/** As it would be; what is not known of it is left out. @typedef {Partial<Omit<Outlook, "positions">> & {positions: Partial<PositionView>[]}} After */
/** @typedef {{seen: Outlook, after: After | null, isOld: boolean, markets: MarketView[] | undefined}} Props */

/** @param {Props} props */
export function PoolList({ seen, after, isOld, markets }) {
  return html`<div class="pool-numbers">
    <${Totals} seen=${seen} after=${after} isOld=${isOld} />
    <${Positions} seen=${seen} after=${after} isOld=${isOld} markets=${markets} />
  </div>`;
}

/** @type {{key: keyof Outlook, name: string, title: string, write: (value: any) => string}[]} */
const TOTALS = [
  { key: "collateral_micros", name: "collateral", title: "Collateral", write: (value) => dollars(value) },
  { key: "equity_micros", name: "equity", title: "Equity", write: (value) => dollars(value) },
  { key: "maintenance_micros", name: "maintenance", title: "Has to stay", write: (value) => dollars(value) },
  { key: "initial_micros", name: "initial", title: "Needed to grow", write: (value) => dollars(value) },
  { key: "reserved_micros", name: "reserved", title: "Open orders reserve", write: (value) => dollars(value) },
  { key: "free_collateral_micros", name: "free_collateral", title: "Free", write: (value) => dollars(value) },
  { key: "withdrawable_micros", name: "withdrawable", title: "May leave now", write: (value) => dollars(value) },
  { key: "margin_ratio_ppm", name: "margin_ratio", title: "Margin ratio", write: (value) => (value === null ? "over 100%" : percent(value)) },
  { key: "margin_usage_ppm", name: "margin_usage", title: "Margin usage", write: (value) => (value === null ? "over 100%" : percent(value)) },
  { key: "leverage_ppm", name: "leverage", title: "Leverage", write: times },
];

/** @param {Omit<Props, "markets">} props */
function Totals({ seen, after, isOld }) {
  return html`<dl class="totals">
    ${TOTALS.map(
      ({ key, name, title, write }) => html`<div key=${name}>
        <dt>${title}</dt>
        <dd><${Becomes} before=${write(seen[key])} after=${after && after[key] !== undefined ? write(after[key]) : null} isOld=${isOld} name=${name} /></dd>
      </div>`,
    )}
  </dl>`;
}

/** @param {Props} props */
function Positions({ seen, after, isOld, markets }) {
  const opened = /** @type {PositionView[]} */ (after?.positions ?? []).filter((one) => !seen.positions.some((held) => held.market === one.market));
  const rows = [...seen.positions, ...opened];
  if (rows.length === 0) return html`<p class="soft">No position: nothing can be lost here by a price.</p>`;
  return html`<div><div class="scroll" tabindex="0" role="region" aria-label="Positions in this pool"><table>
    <caption class="sr">Positions in this pool</caption>
    <thead><tr>
      <th scope="col">Market</th><th scope="col">Size</th><th scope="col">Gain or loss</th><th scope="col">Has to stay</th>
      <th scope="col">To grow</th><th scope="col" title="Other prices standing still">Liquidated at</th>
    </tr></thead>
    <tbody>
      ${rows.map((one) => {
        const held = seen.positions.find((each) => each.market === one.market);
        const then = after === null ? undefined : after.positions.find((each) => each.market === one.market) ?? null;
        return html`<${Row} key=${one.market} name=${one.market} held=${held} then=${then} isOld=${isOld} markets=${markets} />`;
      })}
    </tbody>
  </table></div>
  <p class="soft">A liquidation price holds while all other prices stand still.${rows.some((one) => one.liquidation_price_ticks === null) ? ` ${NO_LIQUIDATION_PRICE}: ${WHY_NO_LIQUIDATION_PRICE}` : ""}</p></div>`;
}

/** @param {{name: string, held: PositionView | undefined, then: Partial<PositionView> | null | undefined, isOld: boolean, markets: MarketView[] | undefined}} props then: null where it is closed */
function Row({ name, held, then, isOld, markets }) {
  const found = marketOf(markets, name);
  /** @param {(one: PositionView) => string} write @param {string} none @param {string} [of] */
  const both = (write, none, of) =>
    html`<${Becomes}
      before=${held ? write(held) : none}
      after=${then === undefined ? null : then === null ? none : write(/** @type {PositionView} */ ({ ...held, ...then }))}
      isOld=${isOld}
      name=${held && of ? `${name}.${of}` : undefined}
    />`;
  return html`<tr>
    <th scope="row"><span class="swatch ${hue(markets, name)}" aria-hidden="true"></span>${name}</th>
    <td>${both((one) => (found ? size(one.size_lots, found, "exceptZero") : String(one.size_lots)), "0")}</td>
    <td>${held && then === undefined ? html`<${Money} micros=${held.unrealised_micros} sign=${true} name=${`${name}.unrealised`} />` : both((one) => dollars(one.unrealised_micros, { sign: "exceptZero" }), "0", "unrealised")}</td>
    <td>${both((one) => dollars(one.maintenance_micros), "0", "maintenance")}</td>
    <td>${both((one) => dollars(one.initial_micros), "0", "initial")}</td>
    <td>${both((one) => liquidationText(one.liquidation_price_ticks, found), "no position", "liquidation_price")}</td>
  </tr>`;
}

/** @param {import("../format.js").Integer | null} ticks @param {MarketView | undefined} market */
export function liquidationText(ticks, market) {
  if (ticks === null) return NO_LIQUIDATION_PRICE;
  return market ? price(ticks, market) : String(ticks);
}
