/** What was traded in a market, the newest first. */
import { html } from "../html.js";
import { useFeed } from "../feeds.js";
import { exactTime, price, size, timeOfDay } from "../format.js";

const SHOWN = 26;

/** @param {{market: import("../wire").MarketView}} props */
export function Trades({ market }) {
  /** @type {import("../wire").FillView[] | undefined} */
  const trades = useFeed(`trades:${market.name}`);
  if (trades === undefined) return html`<p class="soft">Waiting for trades.</p>`;
  if (trades.length === 0) return html`<p class="soft">Nothing was traded yet.</p>`;
  return html`<table class="trades">
    <caption class="sr">Trades of ${market.name}</caption>
    <thead><tr><th scope="col">Price</th><th scope="col">Size</th><th scope="col">Time</th></tr></thead>
    <tbody>
      ${trades.slice(0, SHOWN).map(
        (one) => html`<tr key=${`${one.chunk} ${one.operation_index} ${one.maker_order_id}`}>
          <td class=${one.taker_side === "buy" ? "gain" : "loss"}><span aria-hidden="true">${one.taker_side === "buy" ? "▲" : "▼"}</span><span class="sr">${one.taker_side === "buy" ? "bought" : "sold"}</span> ${price(one.price_ticks, market)}</td>
          <td>${size(one.size_lots, market)}</td>
          <td class="soft" title=${exactTime(one.time_ms)}>${timeOfDay(one.time_ms)}</td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}
