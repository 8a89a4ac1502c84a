/**
 * What all views share: where the node is, which market and account are looked at, and the venue's own clock.
 *
 * @import {MarketView, Status} from "./wire"
 */
import { computed, effect, signal } from "@preact/signals";
import { api, link } from "./feeds.js";
import { beforeNextFrame } from "./frame.js";
import { remembered } from "./memory.js";

/**
 * What the node told this page of its surroundings when it served it.
 * @type {{l1_url: string, challenger_url: string, is_devnet: boolean}}
 */
export const place = JSON.parse(document.querySelector('meta[name="catenary"]')?.getAttribute("content") || "{}");

/** @type {import("@preact/signals").Signal<Status | null>} */
export const status = signal(null);
/** How far this browser's clock is behind the venue's. */
const behindMs = signal(0);

/** Milliseconds of the venue's clock. */
export function now() {
  return Date.now() + behindMs.peek();
}

/** Ticks once a second, for whatever shows how long ago something was. */
export const second = signal(Date.now());
// Beside whatever else the next picture shows: a clock alone redraws nothing twice.
const tick = () => {
  if (!document.hidden) second.value = Date.now();
};
setInterval(() => beforeNextFrame(tick), 1_000);

/** Asks the node where it stands. */
export async function askStatus() {
  const asked = Date.now();
  const found = await api.call("catenary_status", {});
  // Half of the way there and back is what the answer is older than now.
  behindMs.value = found.now_ms + (Date.now() - asked) / 2 - Date.now();
  status.value = found;
}

effect(() => {
  if (link.value === "open") askStatus().catch(() => {});
});
setInterval(() => {
  if (link.peek() === "open" && !document.hidden) askStatus().catch(() => {});
}, 3_000);

/** The account that is looked at, its owner's or anybody's; null: none yet. @type {import("@preact/signals").Signal<number | null>} */
export const account = remembered("account", /** @type {number | null} */ (null));

/** The market that is looked at, by name. */
export const market = remembered("market", "BTC");

/**
 * A market by name.
 * @param {MarketView[] | undefined} markets
 * @param {string} name
 * @returns {MarketView | undefined}
 */
export function marketOf(markets, name) {
  return markets?.find((one) => one.name === name);
}

/** "auto", "dark" or "light". */
export const theme = remembered("theme", "auto");
/** When the sheet of light colours counts. @type {Record<string, string>} */
const LIGHT = { auto: "(prefers-color-scheme: light)", light: "all", dark: "not all" };
effect(() => {
  const sheet = document.querySelector('link[href$="/light.css"]');
  sheet?.setAttribute("media", LIGHT[theme.value] ?? "not all");
});

/** The address's part behind the hash, as words: "#/trade/BTC" is ["trade", "BTC"]. */
const hash = signal(location.hash);
addEventListener("hashchange", () => {
  hash.value = location.hash;
});
export const route = computed(() => {
  const [path = ""] = hash.value.replace(/^#\/?/, "").split("?");
  const words = path.split("/").filter(Boolean).map(decodeURIComponent);
  return words.length === 0 ? ["trade"] : words;
});

/** @param {...string} words */
export function addressOf(...words) {
  return `#/${words.map(encodeURIComponent).join("/")}`;
}

effect(() => {
  const [view, name] = route.value;
  if (view === "trade" && name) market.value = name;
});

/** The colour class of a market, the same everywhere. @param {MarketView[] | undefined} markets @param {string} name */
export function hue(markets, name) {
  const found = markets?.findIndex((one) => one.name === name) ?? -1;
  return `m${(found < 0 ? 0 : found) % 8}`;
}
