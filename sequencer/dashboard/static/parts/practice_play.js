/** What practice does: the shipped ways to deposit, trade and leave, on prices that it lets fall. One step at a time. */
import { effect, signal } from "@preact/signals";
import { ApiError } from "../api.js";
import { claimed, isClaimed, left } from "../exits.js";
import { api, join } from "../feeds.js";
import { dollars } from "../format.js";
import { remembered } from "../memory.js";
import { playMoney } from "../play.js";
import { send, session } from "../session.js";
import { account } from "../venue.js";
import {
  BEGINNING,
  EATEN_PPM,
  FALL_PPM,
  held,
  LONG,
  LONG_PPM,
  orderOf,
  PLAYED_MICROS,
  progressOf,
  SHORT,
  SHORT_GAIN_PPM,
  SHORT_PPM,
  STEPS,
  toldOfCall,
  toldOfGains,
  toldOfPositions,
  toldOfRescues,
} from "./practice_steps.js";

/** Where the reader is, in this browser. */
const kept = remembered("practice", /** @type {any} */ (BEGINNING));
export const progress = () => progressOf(kept.value);
/** What is being done, in words; empty: nothing. */
export const doing = signal("");
/** Why the last attempt did not go through; empty: it did. */
export const wrong = signal("");

// Prices come every five seconds.
const TICK_MS = 60_000;
const MOST_TICKS = 60;
// What a busy machine brings about, and a few ticks take away.
const PASSING = ["STALE", "GRACE", "BACKLOG", "NOT_POSTABLE", "NOT_READY", "RATE_LIMITED", "QUEUE_ONLY", "NOT_YET"];
const LIQUIDATED_PPM = 1_000_000;

/** Resolves once there are newer prices. */
function nextTick() {
  const [feed, leave] = join("prices");
  return new Promise((passed, refuse) => {
    const time = () => feed.state.value?.[0]?.tick_time_ms;
    let last = feed.state.peek()?.[0]?.tick_time_ms;
    let end = () => {};
    const late = setTimeout(() => (end(), leave(), refuse(new ApiError("NO_PRICE", "No price has come for a minute."))), TICK_MS);
    end = effect(() => {
      const now = time();
      last ??= now;
      if (now === undefined || now === last) return;
      clearTimeout(late);
      // Not within the effect that is still to be returned.
      queueMicrotask(() => (end(), leave(), passed(undefined)));
    });
  });
}

/** @param {string} market @param {number} ppm */
async function move(market, ppm) {
  await api.call("catenary_movePrice", { market, ppm });
}

/** @param {number} of */
const seenNow = (of) => api.call("catenary_account", { account: of });
const marketsNow = () => api.call("catenary_markets", {});

/**
 * Until it goes through, where only time is missing.
 * @template T
 * @param {() => Promise<T>} attempt
 * @returns {Promise<T>}
 */
async function patiently(attempt) {
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ApiError) || !PASSING.includes(error.name) || tries >= MOST_TICKS) throw error;
      await nextTick();
    }
  }
}

/** @param {number} of @param {string} name @param {"buy" | "sell"} side @param {number} ppm */
async function take(of, name, side, ppm) {
  await patiently(async () => {
    const [seen, markets] = await Promise.all([seenNow(of), marketsNow()]);
    const market = markets.find((one) => one.name === name);
    // A step that was interrupted is not done twice.
    if (market === undefined || held(seen, name)) return;
    const operation = orderOf(seen, market, side, ppm);
    if (operation === null) throw new ApiError("NO_POWER", `This account can take no ${name}: practise with a new one.`);
    const result = await send(operation);
    if (result.filled_lots === 0) throw new ApiError("NOT_READY", `Nobody quotes ${name} just now.`);
  });
}

/** What each step does, and tells; null: a part of it is done. @type {((of: number) => Promise<string[] | null>)[]} */
const ACTIONS = [
  async () => [],
  async (of) => {
    if (!held(await seenNow(of), LONG)) {
      doing.value = "Buying BTC";
      await take(of, LONG, "buy", LONG_PPM);
      return null;
    }
    doing.value = "Selling ETH";
    await take(of, SHORT, "sell", SHORT_PPM);
    return toldOfPositions(await seenNow(of), await marketsNow());
  },
  async (of) => {
    doing.value = "Prices fall with the next two ticks";
    for (const ppm of [SHORT_GAIN_PPM, 0]) {
      await move(LONG, EATEN_PPM);
      if (ppm !== 0) await move(SHORT, ppm);
      await nextTick();
    }
    return toldOfGains(await seenNow(of));
  },
  async (of) => {
    for (let ticks = 0; ticks < MOST_TICKS; ticks++) {
      const seen = await seenNow(of);
      if (seen.margin_call_percent > 0) return toldOfCall(seen);
      doing.value = "BTC falls with the next tick";
      await move(LONG, FALL_PPM);
      await nextTick();
    }
    throw new ApiError("NO_CALL", "No call came although the price fell.");
  },
  async (of) => {
    for (let ticks = 0; ticks < MOST_TICKS; ticks++) {
      const [seen, rescues] = await Promise.all([seenNow(of), api.call("catenary_postMortems", { account: of, limit: 20 })]);
      const isSafe = seen.margin_ratio_ppm !== null && Number(seen.margin_ratio_ppm) < LIQUIDATED_PPM;
      if (rescues.length > 0 && isSafe) return toldOfRescues(rescues, seen, await marketsNow());
      doing.value = isSafe ? "BTC falls with the next tick" : "Three prices in a row have to say so";
      if (isSafe) await move(LONG, FALL_PPM);
      await nextTick();
    }
    throw new ApiError("NO_LIQUIDATION", "Nobody was liquidated although the price fell.");
  },
  async (of) => {
    const who = session.peek();
    if (who === null) throw new ApiError("NOBODY", "Take play money again: this browser has no key that could leave.");
    const paid = () => api.call("catenary_withdrawals", { account: of });
    // An exit that was interrupted is not entered twice.
    if ((await paid()).length === 0) {
      doing.value = "Entering the exit on L1";
      await left(who, of);
    }
    doing.value = "The sequencer has to serve it; then its batch has to become final";
    const [found] = await until(paid, (all) => all[0]?.finality === "final");
    if (found === undefined) throw new ApiError("NOT_YET", "The exit is on L1 and not served yet: try again in a while.");
    doing.value = "Claiming on L1";
    if (!(await isClaimed(found.index))) await patiently(() => claimed(who, found.index));
    return [`$${dollars(found.amount_micros)} are back at your address on L1.`];
  },
];

/**
 * Asks until it is so, at each tick.
 * @template T
 * @param {() => Promise<T>} ask
 * @param {(found: T) => boolean} isSo
 */
async function until(ask, isSo) {
  let found = await ask();
  for (let ticks = 0; ticks < MOST_TICKS && !isSo(found); ticks++) {
    await nextTick();
    found = await ask();
  }
  return found;
}

/** Does the step that the reader is at. */
export async function goOn() {
  if (doing.peek() !== "") return;
  const at = progress();
  wrong.value = "";
  doing.value = STEPS[at.step]?.title ?? "";
  try {
    if (at.step === 0) {
      // Whether prices may be moved here at all, before anybody begins.
      await move(LONG, 0);
      const opened = await playMoney(PLAYED_MICROS);
      kept.value = { ...at, account: opened, isDone: true, told: [`Account ${opened} is yours.`] };
      account.value = opened;
    } else if (at.account !== null) {
      const told = (await ACTIONS[at.step]?.(at.account)) ?? null;
      if (told !== null) kept.value = { ...at, isDone: true, told };
    }
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    wrong.value = error.message;
  } finally {
    doing.value = "";
  }
}

/** To the next step. */
export function turn() {
  const at = progress();
  wrong.value = "";
  kept.value = { ...at, step: at.step + 1, isDone: false, told: [] };
}

/** From the beginning, with another account. */
export function again() {
  wrong.value = "";
  kept.value = BEGINNING;
}
