/** The market, the order form, and what the account has. */
import { html } from "../html.js";
import { useFeed } from "../feeds.js";
import { price, size } from "../format.js";
import { Panel } from "../parts/panel.js";
import { market, marketOf } from "../venue.js";

export function Trade() {
  const markets = useFeed("prices");
  const found = marketOf(markets, market.value);
  const book = useFeed(`book_deltas:${market.value}`);
  if (!found) return html`<${Panel} title="Trade">Waiting for the node.<//>`;
  return html`<${Panel} title=${`${found.name} ${price(found.price_ticks, found)}`}>
    <table><tbody>${(book?.bids ?? []).slice(0, 10).map((/** @type {[number, number]} */ [at, lots]) => html`<tr key=${at}><td>${price(at, found)}</td><td>${size(lots, found)}</td></tr>`)}</tbody></table>
  <//>`;
}
