/** The page begins here: one document, four views, no reload. */
import { render } from "preact";
import "./access.js";
import { api, link } from "./feeds.js";
import { html } from "./html.js";
import { Explaining } from "./parts/explain.js";
import { Endings } from "./parts/endings.js";
import { keepFocus } from "./parts/focus.js";
import { Header } from "./parts/header.js";
import { MarginCalls } from "./parts/margin_call.js";
import { PoolStrip } from "./parts/pool_strip.js";
import { Toasts } from "./parts/toast.js";
import { comeBack } from "./entering.js";
import { route } from "./venue.js";
import { Learn } from "./views/learn.js";
import { Pool } from "./views/pool.js";
import { Rollup } from "./views/rollup.js";
import { Trade } from "./views/trade.js";

const VIEWS = { trade: Trade, pool: Pool, rollup: Rollup, learn: Learn };

function App() {
  const [view = "trade"] = route.value;
  const View = VIEWS[/** @type {keyof typeof VIEWS} */ (view)] ?? Trade;
  return html`<a class="skip" href="#main">To the view</a>
    <${Header} />
    <${PoolStrip} />
    <${MarginCalls} />
    <main id="main" tabindex="-1" class="view-${view}"><${View} /></main>
    <${Endings} />
    <${Explaining} />
    <${Toasts} />`;
}

const root = document.getElementById("page");
if (root) {
  render(html`<${App} />`, root);
  keepFocus(root);
}
api.start();
link.subscribe((now) => {
  if (now === "open") comeBack().catch(() => {});
});
