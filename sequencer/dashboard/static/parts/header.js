/** The top line: where one is, whose account, how far from trouble, how fresh. */
import { html } from "../html.js";
import { link } from "../feeds.js";
import { relative } from "../format.js";
import { session } from "../session.js";
import { Connect } from "./connect.js";
import { account, addressOf, market, route, second, status, theme } from "../venue.js";

const VIEWS = [
  { key: "trade", title: "Trade" },
  { key: "pool", title: "Pool" },
  { key: "rollup", title: "Rollup" },
  { key: "learn", title: "Learn" },
];
const THEMES = { auto: "dark", dark: "light", light: "auto" };

export function Header() {
  const [view] = route.value;
  return html`<header class="top">
    <a class="brand" href=${addressOf("trade", market.value)}>Catenary</a>
    <nav aria-label="Views">
      ${VIEWS.map(
        (one) => html`<a
          key=${one.key}
          href=${one.key === "trade" ? addressOf("trade", market.value) : addressOf(one.key)}
          aria-current=${view === one.key ? "page" : null}
          >${one.title}</a
        >`,
      )}
    </nav>
    <div class="grow"></div>
    <${Who} />
    <${Freshness} />
    <${Connect} />
    <button
      type="button"
      class="plain"
      title="Colours: ${theme.value}"
      aria-label="Colours: ${theme.value}"
      onClick=${() => {
        theme.value = THEMES[/** @type {keyof typeof THEMES} */ (theme.value)] ?? "auto";
      }}
    >
      ◐
    </button>
  </header>`;
}

function Who() {
  if (account.value === null) return html`<a class="who" href=${addressOf("learn")}>No account yet</a>`;
  const isOwn = session.value?.accounts.includes(account.value);
  return html`<span class="who">account ${account.value}${isOwn ? "" : html` <span class="soft">watched</span>`}</span>`;
}

function Freshness() {
  const told = status.value;
  if (link.value !== "open" || told === null) {
    return html`<span class="fresh stale" role="status">${link.value === "away" ? html`node away<span class="wide">, numbers old</span>` : "connecting"}</span>`;
  }
  const age = second.value - Date.now() + told.now_ms;
  return html`<span class="fresh" title=${told.reasons.map((one) => one.sentence).join(" ")}
    >${told.ready ? `batch ${told.posted.batch} posted` : "not ready"}<span class="sr"> ${relative(told.now_ms, age)}</span></span
  >`;
}
