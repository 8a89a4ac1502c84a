/** The order form: what is typed stays as typed, what would come of it stands beside it, and a refusal offers what would be taken. */
import { signal } from "@preact/signals";
import { html } from "../html.js";
import { useFeed } from "../feeds.js";
import { dayAndTime, decimal, size as lotsText } from "../format.js";
import { drafted, EMPTY, isGuard, KINDS, lifeOf, longestLife, opposite, reduces, SLIPPAGE, takes, waits, wholeOf } from "../order.js";
import { session } from "../session.js";
import { account, addressOf, now, second } from "../venue.js";
import { choose, clear, facts, fill, form, isSheetOpen, limits, read, seen, seenMarket, sendAll } from "./drafting.js";
import { Check, Choice, Field } from "./order_form_fields.js";
import { Outlook } from "./order_form_outlook.js";
import { told } from "./order_form_results.js";
import { say } from "./toast.js";

const isSending = signal(false);
const LIVES = [600_000, 3_600_000, 4 * 3_600_000, 86_400_000, 7 * 86_400_000, 30 * 86_400_000];
/** @type {Record<number, string>} */
const LIFE_TITLES = { 600000: "10 minutes", 3600000: "1 hour", 14400000: "4 hours", 86400000: "24 hours", 604800000: "7 days", 2592000000: "30 days" };

export function OrderForm() {
  const [market, now] = [seenMarket.value, form.value];
  if (market === undefined) return html`<p class="soft">Waiting for the node.</p>`;
  const problems = read.value?.problems ?? {};
  return html`<form class="order-form" aria-label="Order" tabindex="-1" autocomplete="off" onSubmit=${submitted}>
    ${now.replaces && html`<p class="note" role="status">Changes the order in slot ${now.replaces.slot}. <button type="button" class="plain" onClick=${clear}>Leave it as it is</button></p>`}
    <${Sides} />
    <${Choice} label="Type" id="order-kind" value=${now.kind} options=${KINDS} choose=${(/** @type {any} */ kind) => choose({ kind })} title=${KINDS.find((one) => one.key === now.kind)?.says} />
    ${waits(now.kind) && html`<${Field} name="trigger" label=${now.kind === "both" ? "Stop at" : "Trigger (oracle price)"} unit="dollars" problem=${problems.trigger} />`}
    ${now.kind === "both" && html`<${Field} name="target" label="Target at" unit="dollars" problem=${problems.target} />`}
    ${!takes(now.kind) && html`<${Field} name="price" label="Price" unit="dollars" problem=${problems.price} /><${Prices} />`}
    ${takes(now.kind) && html`<${Field} name="slippage" label="Slippage at most" unit="%" placeholder=${waits(now.kind) ? SLIPPAGE.triggered : SLIPPAGE.market} problem=${problems.slippage} />`}
    <${Size} problem=${problems.size} />
    <${Guards} />
    <${More} />
    <${Ends} />
    <${Outlook} />
    <${Button} />
  </form>`;
}

function Sides() {
  const { side, replaces } = form.value;
  return html`<div class="sides" role="group" aria-label="Side">
    ${["buy", "sell"].map(
      (one) => html`<button
        type="button"
        key=${one}
        class=${side === one ? one : ""}
        aria-pressed=${side === one}
        disabled=${replaces !== null && side !== one}
        onClick=${() => fill({ side: /** @type {any} */ (one) })}
      >
        ${one === "buy" ? "Buy" : "Sell"}
      </button>`,
    )}
  </div>`;
}

/** Prices by one click: those of the market as it stands. */
function Prices() {
  const market = seenMarket.value;
  /** @type {import("../model.js").BookState | undefined} */
  const book = useFeed(market ? `book_deltas:${market.name}` : null);
  if (market === undefined) return null;
  const [bid, ask] = [book?.bids[0]?.[0], book?.asks[0]?.[0]];
  const prices = [
    { title: "Bid", ticks: bid },
    { title: "Middle", ticks: bid && ask && Math.floor((bid + ask) / 2) },
    { title: "Ask", ticks: ask },
    { title: "Oracle", ticks: market.price_ticks },
  ];
  return html`<div class="chips" role="group" aria-label="Take a price">
    ${prices.map(({ title, ticks }) => html`<button type="button" class="chip" key=${title} disabled=${!ticks} onClick=${() => fill({ price: decimal(ticks ?? 0, market.price_decimals) })}>${title}</button>`)}
  </div>`;
}

/** @param {{problem: string | undefined}} props */
function Size({ problem }) {
  const [market, now, draft] = [seenMarket.value, form.value, read.value];
  if (market === undefined) return null;
  const whole = draft && account.value !== null ? wholeOf(now, facts(market, account.value)) : 0n;
  const ppm = draft && whole > 0n ? (draft.lots * 1_000_000n) / whole : 0n;
  const percents = Number(ppm > 1_000_000n ? 1_000_000n : ppm) / 10_000;
  const isReducing = now.isReduceOnly || reduces(now.kind);
  const units = [
    { key: "units", title: market.name },
    { key: "dollars", title: "dollars" },
    { key: "share", title: isReducing ? "% of position" : "% of power" },
  ];
  return html`<div class="with-unit">
      <${Field} name="size" label="Size" problem=${problem} />
      <${Choice} label="Size in" isHidden id="order-unit" value=${now.unit} options=${units} choose=${(/** @type {any} */ unit) => (choose({ unit }), fill({ size: "" }))} />
    </div>
    <div class="slider">
      <input
        type="range" min="0" max="100" step="1" value=${Math.round(percents)}
        aria-label=${isReducing ? "Share of the position" : "Share of buying power"}
        aria-valuetext=${`${Math.round(percents)}%`}
        disabled=${whole === 0n}
        onInput=${(/** @type {any} */ event) => fill({ unit: "share", size: event.currentTarget.value })}
      />
      <span class="soft number">${lotsText(whole, market)} ${market.name} ${isReducing ? "held" : "at most"}</span>
    </div>
    ${now.unit !== "units" && draft && draft.lots > 0n ? html`<p class="soft hint number">= ${lotsText(draft.lots, market)} ${market.name}</p>` : null}`;
}

/** A stop and a target that come after the entry. */
function Guards() {
  const now = form.value;
  const problems = read.value?.problems ?? {};
  if (waits(now.kind) || now.isReduceOnly || now.replaces) return null;
  return html`<${Check} name="isGuarded" label="With stop and target" says="Reduce-only, at the market; one cancels the other." />
    ${now.isGuarded &&
    html`<div class="pair">
      <${Field} name="guardStop" label="Stop at" problem=${problems.guardStop} />
      <${Field} name="guardTarget" label="Target at" problem=${problems.guardTarget} />
    </div>`}`;
}

function More() {
  const now = form.value;
  const problems = read.value?.problems ?? {};
  const isLimit = now.kind === "limit" || now.kind.endsWith("_limit");
  const longest = longestLife(now, limits.value);
  const lives = LIVES.filter((life) => life <= longest).map((life) => ({ key: String(life), title: LIFE_TITLES[life] ?? "" }));
  const forces = [{ key: "gtt", title: "Waits (GTT)" }, { key: "ioc", title: "Now or never (IOC)" }, { key: "fok", title: "All or nothing (FOK)" }];
  return html`<details class="more">
    <summary>More <span class="soft">${more(now, isLimit)}</span></summary>
    ${isLimit && html`<${Choice} label="Time in force" id="order-force" value=${now.force} options=${forces} choose=${(/** @type {any} */ force) => choose({ force })} />`}
    ${isPatient(now) &&
    html`<${Choice} label="Lives" id="order-life" value=${String(lifeOf(now, limits.value))} options=${lives} choose=${(/** @type {string} */ life) => choose(isGuard(now) ? { guard_life_ms: Number(life) } : { life_ms: Number(life) })} />`}
    ${isLimit && html`<${Check} name="isPostOnly" label="Post-only" says="Never takes: refused if it would." isOff=${now.force !== "gtt"} problem=${problems.isPostOnly} />`}
    <${Check} name="isReduceOnly" label="Reduce-only" says="Only shrinks a position." isForced=${reduces(now.kind)} />
    <${Choice}
      label="Where it meets an order of yours" id="order-self" value=${now.selfTrade}
      options=${[{ key: "cancel_taker", title: "this one leaves" }, { key: "cancel_maker", title: "the other one leaves" }, { key: "decrement", title: "both lose what they share" }]}
      choose=${(/** @type {any} */ selfTrade) => choose({ selfTrade })}
    />
    <${Field} name="group" label="Group (one cancels the other)" placeholder="none" problem=${problems.group} />
  </details>`;
}

/** Whether it waits, in the book or for its trigger. @param {import("../order.js").Form} now */
const isPatient = (now) => waits(now.kind) || (now.kind === "limit" && now.force === "gtt");

/** Until when what is sent lives, in plain sight: what ends without a word guards nothing. */
function Ends() {
  const form_ = form.value;
  second.value;
  const until = (/** @type {number} */ life) => dayAndTime(now() + life);
  const own = isPatient(form_) ? `${isGuard(form_) ? "Guards" : "Waits"} until ${until(lifeOf(form_, limits.value))}` : "";
  const guarded = form_.isGuarded && !isGuard(form_) && !waits(form_.kind) && !form_.isReduceOnly ? `stop and target guard until ${until(limits.value?.trigger_life_ms ?? EMPTY.guard_life_ms)}` : "";
  const text = [own, guarded].filter(Boolean).join("; ");
  return text && html`<p class="soft hint ends">${text.slice(0, 1).toUpperCase() + text.slice(1)}.</p>`;
}

/** @param {import("../order.js").Form} now @param {boolean} isLimit */
function more(now, isLimit) {
  const words = [isLimit && now.force !== "gtt" && now.force.toUpperCase(), isLimit && now.isPostOnly && now.force === "gtt" && "post-only", (now.isReduceOnly || reduces(now.kind)) && "reduce-only", now.group && `group ${now.group}`];
  return words.filter(Boolean).join(", ");
}

function Button() {
  const [now, market, draft, { preview, error }] = [form.value, seenMarket.value, read.value, seen.value];
  const owned = account.value !== null && session.value?.accounts.includes(account.value);
  if (!owned) return html`<p class="soft" role="status">${account.value === null ? html`<a href=${addressOf("learn")}>Open an account</a> to trade.` : "Connect a wallet that may trade for this account."}</p>`;
  const isReady = draft !== null && draft.legs.length > 0 && !isSending.value && preview?.status !== "refused" && error === null;
  const verb = now.replaces ? "Change to" : now.kind === "both" ? "Place" : now.side === "buy" ? "Buy" : "Sell";
  const what = draft && draft.lots > 0n && market ? `${lotsText(draft.lots, market)} ${market.name}` : market?.name;
  return html`<button type="submit" class="${now.side} place" disabled=${!isReady}>${isSending.value ? "Sending…" : `${verb} ${what}`}</button>`;
}

/** @param {SubmitEvent} event */
async function submitted(event) {
  event.preventDefault();
  const button = event.submitter;
  const market = seenMarket.peek();
  const of = account.peek();
  if (market === undefined || of === null || isSending.peek()) return;
  const { legs } = drafted(form.peek(), facts(market, of));
  if (legs.length === 0) return;
  isSending.value = true;
  let isSheet = false;
  try {
    told(legs, await sendAll(legs), market);
    clear();
    isSheet = isSheetOpen.peek();
    isSheetOpen.value = false;
  } catch (error) {
    say("wrong", "Not taken", error instanceof Error ? error.message : String(error));
  } finally {
    isSending.value = false;
    if (isSheet || document.activeElement === document.body || document.activeElement === button) goOn();
  }
}

/** Where the next order begins: who has sent one stays at the form, or at what opens it. */
function goOn() {
  requestAnimationFrame(() => {
    const isSheet = getComputedStyle(document.querySelector(".sheet-bar") ?? document.body).display !== "none";
    const next = isSheet && !isSheetOpen.peek() ? document.querySelector(`.sheet-bar .${form.peek().side}`) : document.getElementById("order-size");
    if (next instanceof HTMLElement) next.focus({ preventScroll: true });
  });
}

/**
 * Fills the form to close a position, or a part of it.
 * @param {import("../wire").PositionView} position
 * @param {"market" | "both"} kind
 * @param {string} [share] percent
 */
export function toReduce(position, kind, share = "100") {
  const isLong = BigInt(position.size_lots) > 0n;
  fill({ kind, side: opposite(isLong ? "buy" : "sell"), unit: "share", size: share, isReduceOnly: true, isGuarded: false, replaces: null, trigger: "", target: "" });
  isSheetOpen.value = true;
}

