/** The market, the order form, and what the account has. */
import { useEffect } from "preact/hooks";
import { html } from "../html.js";
import { useFeed } from "../feeds.js";
import { remembered } from "../memory.js";
import { closeSheet, Keys, onKey } from "../parts/keyboard.js";
import { Leverage } from "../parts/leverage.js";
import { MarketBar } from "../parts/market_bar.js";
import { fill, isSheetOpen } from "../parts/drafting.js";
import { OrderForm } from "../parts/order_form.js";
import { Panel, Tabs } from "../parts/panel.js";
import { Tables } from "../parts/tables.js";
import { Trades } from "../parts/trades.js";
import { CandleChoices, Candles, Credit } from "../pictures/candles.js";
import { Depth, DepthStep } from "../pictures/depth.js";
import { addressOf, market, marketOf } from "../venue.js";

const beside = remembered("trade-beside", "book");

export function Trade() {
  /** @type {import("../wire").MarketView[] | undefined} */
  const markets = useFeed("prices");
  const found = marketOf(markets, market.value);
  useEffect(() => {
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  if (markets === undefined) return html`<${Panel} title="Trade">Waiting for the node.<//>`;
  if (!found) return html`<${Panel} title="Trade">There is no market ${market.value}. ${markets.map((one) => html`<a key=${one.name} href=${addressOf("trade", one.name)}>${one.name}</a> `)}<//>`;
  const tabs = [{ key: "book", title: "Book" }, { key: "trades", title: "Trades" }];
  return html`<div class="trade ${isSheetOpen.value ? "sheet-open" : ""}">
    <h1 class="sr">Trade ${found.name}</h1>
    <${MarketBar} found=${found} />
    <${Panel} title="Price" area="chart" actions=${html`<${CandleChoices} />`}><${Candles} market=${found} /><${Credit} /><//>
    <${Panel} title="Market depth" area="depth" actions=${html`<${DepthStep} market=${found} />`}>
      <${Tabs} label="Book or trades" tabs=${tabs} chosen=${beside.value} choose=${(/** @type {string} */ key) => (beside.value = key)} />
      ${beside.value === "trades" ? html`<${Trades} market=${found} />` : html`<${Depth} market=${found} />`}
    <//>
    <${Panel} title="Order" area="form" actions=${html`<${Leverage} /><button type="button" class="plain sheet-close" onClick=${closeSheet}>Close</button>`}><${OrderForm} /><//>
    <${Tables} />
    <div class="sheet-bar">
      ${["buy", "sell"].map((side) => html`<button type="button" key=${side} class=${side} onClick=${() => openSheet(/** @type {any} */ (side))}>${side === "buy" ? "Buy" : "Sell"} ${found.name}</button>`)}
    </div>
    <${Keys} />
  </div>`;
}

/** @param {"buy" | "sell"} side */
function openSheet(side) {
  fill({ side });
  isSheetOpen.value = true;
  requestAnimationFrame(() => document.getElementById("order-size")?.focus());
}
