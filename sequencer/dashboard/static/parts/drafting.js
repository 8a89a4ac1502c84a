/**
 * The order that is being filled in, and what would come of it: one for the whole page, so that the pool draws it too.
 *
 * @import {AccountView, MarketView, VenueLimits} from "../wire"
 * @import {Draft, Form, Leg} from "../order.js"
 */
import { computed, effect, signal } from "@preact/signals";
import { api, join, link } from "../feeds.js";
import { remembered } from "../memory.js";
import { drafted, EMPTY, sentInTurn } from "../order.js";
import { Previewer } from "../preview.js";
import { send } from "../session.js";
import { account, addressOf, market, marketOf, now } from "../venue.js";

/** What is chosen stays chosen; what is typed is gone with the page. */
const choices = remembered("order", { kind: EMPTY.kind, unit: EMPTY.unit, force: EMPTY.force, life_ms: EMPTY.life_ms, guard_life_ms: EMPTY.guard_life_ms, selfTrade: EMPTY.selfTrade });

/** @type {import("@preact/signals").Signal<Form>} */
export const form = signal({ ...EMPTY, ...choices.peek() });
/** @param {Partial<Form>} changes */
export function fill(changes) {
  form.value = { ...form.peek(), ...changes };
}

/** A choice that the next order begins with too. @param {Partial<typeof choices.value>} changes */
export function choose(changes) {
  choices.value = { ...choices.peek(), ...changes };
  fill(changes);
}

/** Empties what was typed; choices stay. */
export function clear() {
  form.value = { ...EMPTY, ...choices.peek(), side: form.peek().side };
}

/** Looks at another market. What was typed is of the one before, and goes. @param {string} name */
export function turnTo(name) {
  market.value = name;
  location.hash = addressOf("trade", name);
}
let [typedFor, typedOf] = [market.peek(), account.peek()];
effect(() => {
  if (market.value === typedFor && account.value === typedOf) return;
  [typedFor, typedOf] = [market.value, account.value];
  clear();
});

/** Whether the form stands over the view, where there is no room beside it. */
export const isSheetOpen = signal(false);

const prices = join("prices")[0].state;
/** @type {import("@preact/signals").ReadonlySignal<MarketView | undefined>} */
export const seenMarket = computed(() => marketOf(prices.value, market.value));

const watched = signal(/** @type {import("../feeds.js").Feed | null} */ (null));
effect(() => {
  if (account.value === null) {
    watched.value = null;
    return;
  }
  const [feed, leave] = join(`account:${account.value}`);
  watched.value = feed;
  return leave;
});
/** @type {import("@preact/signals").ReadonlySignal<AccountView | undefined>} */
export const seenAccount = computed(() => watched.value?.state.value);

/** @type {import("@preact/signals").Signal<VenueLimits | null>} */
export const limits = signal(null);
effect(() => {
  if (link.value === "open" && limits.peek() === null) {
    api.call("catenary_limits", {}).then(
      (found) => (limits.value = found.venue),
      () => {},
    );
  }
});

export const orderPreviewer = new Previewer((operation, openedWith) =>
  api.call("catenary_preview", { operation, opened_with_micros: openedWith }),
);
/** What would come of the form as it is. */
export const seen = orderPreviewer.seen;

// A form's own orders are linked by a number of their own; a new one for each form that was sent.
const group = signal(drawn());
function drawn() {
  return 1 + (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) % (2 ** 32 - 1);
}

/** What a preview may not outlive: an answer for the other side, market or account says nothing. */
const about = computed(() => {
  const { side, kind, isReduceOnly } = form.value;
  return [account.value, market.value, side, kind, isReduceOnly].join(" ");
});

/** The law's own maximum where it has refused more, for as long as the question is the same. */
const refusedAbove = signal({ about: "", lots: /** @type {bigint | null} */ (null) });

/** Lots that the account could take on the form's side. */
export const most = computed(() => {
  const refused = refusedAbove.value;
  if (refused.about === about.value && refused.lots !== null) return refused.lots;
  const power = seenAccount.value?.buying_power.find((one) => one.market === market.value);
  return BigInt((form.value.side === "buy" ? power?.buy_lots : power?.sell_lots) ?? 0);
});

/** The form read; null before market and account are there. @type {import("@preact/signals").ReadonlySignal<Draft | null>} */
export const read = computed(() => {
  const [found, of] = [seenMarket.value, account.value];
  if (found === undefined || of === null) return null;
  return drafted(form.value, facts(found, of));
});

/** @param {MarketView} found @param {number} of */
export function facts(found, of) {
  const position = seenAccount.value?.positions.find((one) => one.market === found.name);
  return { account: of, market: found, position, most: most.value, limits: limits.value, now_ms: now(), group: group.value };
}

/** The operation as the form has it, null where it is not filled in: what is previewed. */
export const draft = computed(() => read.value?.first?.operation ?? null);

// What the form says is asked for at once; that prices have moved, once a second at most, and not where nobody looks.
const PAUSE_MS = 1_000;
let askedForm = form.peek();
let askedAbout = "";
let askedAt = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let later;
effect(() => {
  const operation = draft.value;
  const question = about.value;
  const isTyped = form.value !== askedForm || question !== askedAbout;
  if (!isTyped && operation !== null) {
    later ??= setTimeout(askAgain, Math.max(0, PAUSE_MS - (Date.now() - askedAt)));
    return;
  }
  askedForm = form.value;
  if (question !== askedAbout) orderPreviewer.want(null);
  askedAbout = question;
  clearTimeout(later);
  later = undefined;
  askedAt = Date.now();
  orderPreviewer.want(operation);
});
function askAgain() {
  later = document.hidden ? setTimeout(askAgain, PAUSE_MS) : undefined;
  if (later !== undefined) return;
  askedAt = Date.now();
  const operation = draft.peek();
  if (operation !== null) orderPreviewer.again(operation);
}

effect(() => {
  const lots = seen.value.preview?.largest_size_lots;
  if (lots !== null && lots !== undefined) refusedAbove.value = { about: about.peek(), lots: BigInt(lots) };
});
// What was refused a while ago is not what would be refused now: an emptied form asks anew.
effect(() => {
  if (form.value.size === "" && refusedAbove.peek().lots !== null) refusedAbove.value = { about: "", lots: null };
});

/** Sends what the form says; its next orders are another group. @param {Leg[]} legs */
export async function sendAll(legs) {
  try {
    return await sentInTurn(legs, send);
  } finally {
    group.value = drawn();
  }
}
