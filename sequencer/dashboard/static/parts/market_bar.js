/** Which market, and how it stands: price, a day's change, funding, open interest. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { html } from "../html.js";
import { api, useFeed } from "../feeds.js";
import { basisPoints, dollars, percent, price, relative, size } from "../format.js";
import { addressOf, hue, market, now, second } from "../venue.js";

/** @typedef {import("../wire").StatisticsView} StatisticsView */
/** @type {import("@preact/signals").Signal<ReadonlyMap<string, StatisticsView>>} */
const statistics = signal(new Map());
const AGAIN_MS = 10_000;

function ask() {
  if (document.hidden) return;
  api.call("catenary_statistics", {}).then(
    (found) => (statistics.value = new Map(found.map((one) => [one.market, one]))),
    () => {},
  );
}

/** @param {{found: import("../wire").MarketView}} props */
export function MarketBar({ found }) {
  /** @type {import("../wire").MarketView[] | undefined} */
  const markets = useFeed("prices");
  useEffect(() => {
    ask();
    const timer = setInterval(ask, AGAIN_MS);
    return () => clearInterval(timer);
  }, []);
  const day = statistics.value.get(found.name);
  return html`<section class="market-bar ${hue(markets, found.name)}" aria-label="Market">
    <nav class="markets" aria-label="Markets">
      ${(markets ?? []).map(
        (one) => html`<a key=${one.name} href=${addressOf("trade", one.name)} class=${hue(markets, one.name)} aria-current=${one.name === market.value ? "page" : null}
          ><span class="dot" aria-hidden="true"></span>${one.name} <span class="number">${price(one.price_ticks, one)}</span> ${change(statistics.value.get(one.name), one)}</a
        >`,
      )}
    </nav>
    <dl class="facts">
      <div class="price"><dt>Oracle price</dt><dd class="number">${price(found.price_ticks, found)}</dd></div>
      <div><dt>24 h</dt><dd>${change(day, found)}</dd></div>
      <div class="wide"><dt>24 h high, low</dt><dd class="number">${day?.high_ticks ? `${price(day.high_ticks, found)} / ${price(day.low_ticks ?? 0, found)}` : "no trades"}</dd></div>
      <div class="wide"><dt>24 h volume</dt><dd class="number">${day ? dollars(day.volume_micros, { digits: 0 }) : "—"}</dd></div>
      <div class="funding" title="What longs pay shorts in an hour, at the premium of now; below zero, what shorts pay longs."><dt>Funding, 1 h</dt><dd class="number">${funding(found.funding_rate_ppb)} <${NextHour} /></dd></div>
      <div><dt>Open interest</dt><dd class="number" title="${size(found.open_interest_lots, found)} ${found.name}">${dollars(BigInt(found.open_interest_lots) * BigInt(found.price_ticks), { digits: 0 })}</dd></div>
      ${found.status !== "open" && html`<div><dt>Market</dt><dd class="warning">${found.status}: only reduce-only orders</dd></div>`}
    </dl>
  </section>`;
}

/** Against what was first traded within a day, or nothing. @param {StatisticsView | undefined} day @param {import("../wire").MarketView} one */
function change(day, one) {
  if (!day?.open_ticks) return html`<span class="soft change">—</span>`;
  const open = BigInt(day.open_ticks);
  const bp = Number(((BigInt(one.price_ticks) - open) * 10_000n) / open);
  return html`<span class="number change ${bp > 0 ? "gain" : bp < 0 ? "loss" : ""}">${basisPoints(bp, 2)}</span>`;
}

/** @param {number} ppb */
function funding(ppb) {
  // A part in a billion is a thousandth of a part per million.
  const text = percent(Math.trunc(ppb / 1000), 4);
  return ppb > 0 ? `+${text}` : text;
}

function NextHour() {
  void second.value;
  const at = now();
  return html`<span class="soft">${relative((Math.floor(at / 3_600_000) + 1) * 3_600_000, at)}</span>`;
}
