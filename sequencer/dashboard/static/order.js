/**
 * What a form says, as the law has it: text in, operations out, or what is wrong with which field. Pure, and exact: no
 * number is a float, sizes in dollars round down, and prices of orders at the market towards the price.
 *
 * @import {MarketView, OpenOrder, OrderResult, PositionView, UnsignedOperation, VenueLimits} from "./wire"
 * @import {Beside} from "./session.js"
 */
import { decimal, parsed } from "./format.js";

/** @typedef {"buy" | "sell"} Side */
/** @typedef {"limit" | "market" | "stop" | "stop_limit" | "take_profit" | "take_profit_limit" | "both"} Kind */
/** @typedef {"gtt" | "ioc" | "fok"} Force */

/**
 * The form, as it was typed; nobody else touches what stands in its fields.
 * @typedef {object} Form
 * @property {Side} side
 * @property {Kind} kind
 * @property {string} price
 * @property {string} trigger
 * @property {string} target the second trigger of "both"
 * @property {string} size
 * @property {"units" | "dollars" | "share"} unit share: percent of buying power, or of the position that is reduced
 * @property {string} slippage percent
 * @property {Force} force
 * @property {number} life_ms of what rests
 * @property {number} guard_life_ms of what waits for a trigger and only reduces
 * @property {boolean} isPostOnly
 * @property {boolean} isReduceOnly
 * @property {boolean} isGuarded whether a stop and a target come after it
 * @property {string} guardStop
 * @property {string} guardTarget
 * @property {"cancel_taker" | "cancel_maker" | "decrement"} selfTrade
 * @property {string} group
 * @property {Pick<OpenOrder, "order_id" | "slot" | "after"> | null} replaces what is changed, and the entry that it comes after
 */

/**
 * What the form's text is measured by.
 * @typedef {object} Facts
 * @property {number} account
 * @property {MarketView} market
 * @property {PositionView | undefined} position
 * @property {bigint} most lots that the account could take on this side
 * @property {VenueLimits | null} limits
 * @property {number} now_ms by the venue's clock
 * @property {number} group of orders that one form makes: one cancels the other
 */

/** One order of the form. `after`: it comes after the first. @typedef {{operation: UnsignedOperation, beside: Beside, isAfter: boolean}} Leg */
/** `problems` by field; where there is one there are no legs. `first`: what can be previewed, though guards are still to be said. @typedef {{legs: Leg[], first: Leg | null, lots: bigint, problems: Partial<Record<keyof Form, string>>}} Draft */

/** @type {{key: Kind, title: string, says: string}[]} */
export const KINDS = [
  { key: "limit", title: "Limit", says: "At this price or better; what is left waits in the book." },
  { key: "market", title: "Market", says: "At once, at what stands in the book, no worse than the slippage allows." },
  { key: "stop", title: "Stop", says: "Closes at the market once the oracle price has moved against you to the trigger." },
  { key: "stop_limit", title: "Stop limit", says: "A limit order once the oracle price has moved against you to the trigger." },
  { key: "take_profit", title: "Take profit", says: "Closes at the market once the oracle price has moved for you to the trigger." },
  { key: "take_profit_limit", title: "Take profit limit", says: "A limit order once the oracle price has moved for you to the trigger." },
  { key: "both", title: "Stop and target", says: "Two orders that close a position; one cancels the other." },
];

/** @type {Form} */
export const EMPTY = {
  side: "buy", kind: "limit", price: "", trigger: "", target: "", size: "", unit: "units", slippage: "", force: "gtt",
  life_ms: 3_600_000, guard_life_ms: 2_592_000_000, isPostOnly: false, isReduceOnly: false, isGuarded: false, guardStop: "", guardTarget: "",
  selfTrade: "cancel_taker", group: "", replaces: null,
};

export const PPM = 1_000_000n;
const FORCES = { gtt: 0, ioc: 1, fok: 2 };
const [AT_OR_ABOVE, AT_OR_BELOW] = [1, 2];
/** Percent, where the field is empty: of the oracle price, and of a trigger. */
export const SLIPPAGE = { market: "0.5", triggered: "10" };
// A clock of the node that is a little behind this page's must not make an order's life too long.
const CLOCKS_MS = 5_000;
const GROUPS = 2 ** 32;

/** @param {Kind} kind */
export const waits = (kind) => kind !== "limit" && kind !== "market";
/** Whether it takes at once, at the market. @param {Kind} kind */
export const takes = (kind) => kind === "market" || kind === "stop" || kind === "take_profit" || kind === "both";
/** Whether it can only reduce: who waits for a trigger and then takes at once. @param {Kind} kind */
export const reduces = (kind) => waits(kind) && takes(kind);

/** Whether an order of the form guards a position: what ends without a word guards nothing. @param {Form} form */
export const isGuard = (form) => waits(form.kind) && (form.isReduceOnly || reduces(form.kind));

/** How long an order of the form may live at most. @param {Form} form @param {VenueLimits | null} limits */
export function longestLife(form, limits) {
  if (isGuard(form)) return limits?.trigger_life_ms ?? EMPTY.guard_life_ms;
  return limits?.order_life_ms ?? 86_400_000;
}

/** How long it lives, by its form. @param {Form} form @param {VenueLimits | null} limits */
export function lifeOf(form, limits) {
  return Math.min(isGuard(form) ? form.guard_life_ms : form.life_ms, longestLife(form, limits));
}

/**
 * The worst price of who goes so far from a price, rounded towards it.
 * @param {bigint} price ticks
 * @param {Side} side
 * @param {bigint} away_ppm
 */
export function worstPrice(price, side, away_ppm) {
  if (side === "buy") return (price * (PPM + away_ppm)) / PPM;
  const found = (price * (PPM - away_ppm) + PPM - 1n) / PPM;
  return found < 1n ? 1n : found;
}

/** How far a limit goes from its trigger, as the field says it: percent, no nearer than it was. @param {bigint} trigger @param {bigint} limit */
export function slippageOf(trigger, limit) {
  const away = limit > trigger ? limit - trigger : trigger - limit;
  const text = decimal((away * PPM + trigger - 1n) / trigger, 4);
  return text.replace(/\.?0+$/, "");
}

/** @param {Side} side @returns {Side} */
export const opposite = (side) => (side === "buy" ? "sell" : "buy");

/**
 * The operations of a form.
 * @param {Form} form
 * @param {Facts} facts
 * @returns {Draft}
 */
export function drafted(form, facts) {
  const reading = new Reading(form, facts);
  const legs = form.kind === "both" ? reading.both() : reading.single();
  const wrong = Object.keys(reading.problems);
  // What comes after an entry reduces what that one has yet to open: by itself it would come to nothing.
  const first = wrong.every((field) => field.startsWith("guard")) && !legs[0]?.beside.after ? (legs[0] ?? null) : null;
  return { legs: wrong.length === 0 ? legs : [], first, lots: reading.lots, problems: reading.problems };
}

/** A form being read; `problems` collects what is wrong. */
class Reading {
  /** @param {Form} form @param {Facts} facts */
  constructor(form, facts) {
    this.form = form;
    this.facts = facts;
    /** @type {Partial<Record<keyof Form, string>>} */
    this.problems = {};
    /** @private */ this._oracle = BigInt(facts.market.price_ticks);
    const price = form.kind.endsWith("limit") ? this._price("price") : 0n;
    this.trigger = waits(form.kind) ? this._price("trigger") : 0n;
    this.limit = takes(form.kind) ? this._worst(waits(form.kind) ? this.trigger : this._oracle) : price;
    this.lots = this._lots();
    this.group = this._group();
  }

  /** @returns {Leg[]} */
  single() {
    const { form, facts } = this;
    const isReduceOnly = form.isReduceOnly || reduces(form.kind);
    const force = takes(form.kind) && form.force === "gtt" ? "ioc" : form.force;
    if (form.isPostOnly && force !== "gtt" && !takes(form.kind)) this.problems.isPostOnly = "A post-only order waits in the book; this one may not wait.";
    const entry = this._leg({
      side: form.side, trigger: this.trigger, isStop: form.kind.startsWith("stop"), limit: this.limit, force,
      isReduceOnly, isPostOnly: form.isPostOnly && !takes(form.kind), isWaiting: waits(form.kind),
    });
    if (form.replaces !== null) {
      entry.operation.slot = form.replaces.slot;
      entry.beside.replaces = form.replaces.order_id;
      if (form.replaces.after !== "") entry.beside.after = form.replaces.after;
    }
    if (this.group !== 0) entry.beside.group = this.group;
    if (!form.isGuarded || isReduceOnly) return [entry];
    const guards = [this._guard("guardStop", true), this._guard("guardTarget", false)].filter((one) => one !== null);
    if (guards.length === 0 && !this.problems.guardStop && !this.problems.guardTarget) this.problems.guardStop = "Say where it stops, or where it takes its profit.";
    return [entry, ...guards];
  }

  /** @returns {Leg[]} */
  both() {
    const { form, facts } = this;
    const target = this._price("target");
    /** @param {bigint} trigger @param {boolean} isStop */
    const leg = (trigger, isStop) => {
      const made = this._leg({
        side: form.side, trigger, isStop, limit: this._worst(trigger), force: "ioc", isReduceOnly: true, isPostOnly: false, isWaiting: true,
      });
      made.beside.group = this.group || facts.group;
      return made;
    };
    return [leg(this.trigger, true), leg(target, false)];
  }

  /**
   * @private
   * @param {"guardStop" | "guardTarget"} field
   * @param {boolean} isStop
   * @returns {Leg | null}
   */
  _guard(field, isStop) {
    if (this.form[field].trim() === "") return null;
    const trigger = this._price(field);
    const side = opposite(this.form.side);
    const wide = /** @type {bigint} */ (parsed(SLIPPAGE.triggered, 4));
    const entry = this.limit || this._oracle;
    if (trigger > 0n && (isStop === (side === "buy")) !== (trigger > entry)) {
      this.problems[field] = isStop ? "A stop stands on the losing side of the price." : "A target stands on the winning side of the price.";
    }
    const leg = this._leg({
      side, trigger, isStop, limit: worstPrice(trigger, side, wide), force: "ioc", isReduceOnly: true, isPostOnly: false, isWaiting: true,
    });
    leg.isAfter = true;
    leg.beside.group = this.facts.group;
    return leg;
  }

  /**
   * @private
   * @param {{side: Side, trigger: bigint, isStop: boolean, limit: bigint, force: Force, isReduceOnly: boolean, isPostOnly: boolean, isWaiting: boolean}} of
   * @returns {Leg}
   */
  _leg({ side, trigger, isStop, limit, force, isReduceOnly, isPostOnly, isWaiting }) {
    const { form, facts } = this;
    /** @type {UnsignedOperation} */
    const operation = {
      kind: "order", account: facts.account, market: facts.market.index, side: side === "buy" ? 0 : 1,
      size_lots: this.lots.toString(), limit_price_ticks: limit.toString(), time_in_force: FORCES[force],
      post_only: isPostOnly, reduce_only: isReduceOnly, max_fee_ppm: Math.max(facts.market.maker_fee_ppm, facts.market.taker_fee_ppm),
    };
    if (isWaiting) {
      operation.trigger = isStop === (side === "buy") ? AT_OR_ABOVE : AT_OR_BELOW;
      operation.trigger_price_ticks = trigger.toString();
    }
    const longest = isWaiting && isReduceOnly ? (facts.limits?.trigger_life_ms ?? EMPTY.guard_life_ms) : (facts.limits?.order_life_ms ?? 86_400_000);
    // A stop that comes after an entry waits as long as it may; what takes at once lives as the node says.
    const life = isWaiting && side !== form.side ? longest : lifeOf(form, facts.limits);
    if (force === "gtt" || (isWaiting && isReduceOnly)) operation.expires_at_ms = Math.floor(facts.now_ms + Math.min(life, longest - CLOCKS_MS));
    return { operation, beside: form.selfTrade === "cancel_taker" ? {} : { self_trade: form.selfTrade }, isAfter: false };
  }

  /** @private @param {"price" | "trigger" | "target" | "guardStop" | "guardTarget"} field */
  _price(field) {
    const { price_decimals, name } = this.facts.market;
    const text = this.form[field];
    const ticks = parsed(text, price_decimals);
    if (ticks === null || ticks <= 0n) {
      this.problems[field] = text.trim() === "" ? "" : ticks === null && parsed(text, 20) !== null ? `${name} has prices in steps of ${decimal(1, price_decimals)}.` : "This is no price.";
      return 0n;
    }
    if (ticks >= 2n ** 48n) this.problems[field] = "No order can hold so high a price.";
    return ticks;
  }

  /** @private @param {bigint} from */
  _worst(from) {
    const { form, facts } = this;
    const text = form.slippage.trim() || (waits(form.kind) ? SLIPPAGE.triggered : SLIPPAGE.market);
    const away = parsed(text, 4);
    const most = waits(form.kind) ? PPM - 1n : BigInt(facts.market.band_ppm);
    if (away === null || away < 0n) this.problems.slippage = "Say it in percent, such as 0.5.";
    else if (away > most) this.problems.slippage = `${facts.market.name} trades within ${decimal(most, 4).replace(/\.?0+$/, "")}% of the oracle price.`;
    else if (from <= 0n && !waits(form.kind)) this.problems.price = `${facts.market.name} has no oracle price now.`;
    return from <= 0n || away === null ? 0n : worstPrice(from, form.side, away);
  }

  /** @private */
  _lots() {
    const { form, facts } = this;
    const lots = lotsOf(form, facts, this.limit);
    if (typeof lots === "string") {
      this.problems.size = lots;
      return 0n;
    }
    return lots;
  }

  /** @private */
  _group() {
    const text = this.form.group.trim();
    if (text === "") return 0;
    const group = parsed(text, 0);
    if (group !== null && group > 0n && group < GROUPS) return Number(group);
    this.problems.group = `A number from 1 to ${GROUPS - 1}.`;
    return 0;
  }
}

/**
 * The size of a form in lots, or what is wrong with it; "" where nothing is typed yet.
 * @param {Form} form
 * @param {Facts} facts
 * @param {bigint} limit ticks
 * @returns {bigint | string}
 */
function lotsOf(form, facts, limit) {
  const { size_decimals, name, price_ticks } = facts.market;
  const text = form.size;
  if (text.trim() === "") return "";
  /** @type {bigint} */
  let lots;
  if (form.unit === "units") {
    const found = parsed(text, size_decimals);
    if (found === null && parsed(text, 20) !== null) return `${name} has sizes in steps of ${decimal(1, size_decimals)}.`;
    if (found === null || found < 0n) return "This is no size.";
    lots = found;
  } else if (form.unit === "dollars") {
    const micros = parsed(text, 6);
    if (micros === null || micros < 0n) return "This is no amount of dollars.";
    // A lot at one tick is a micro-dollar; at the dearer of both prices it costs no more than was said.
    const dearer = limit > BigInt(price_ticks) ? limit : BigInt(price_ticks);
    if (dearer <= 0n) return `${name} has no oracle price now.`;
    lots = micros / dearer;
  } else {
    const ppm = parsed(text, 4);
    if (ppm === null || ppm < 0n || ppm > PPM) return "A share is from 0 to 100%.";
    lots = (wholeOf(form, facts) * ppm) / PPM;
  }
  if (lots >= 2n ** 56n) return "No order can hold so large a size.";
  if (lots > 0n) return lots;
  return parsed(text, 20) === 0n ? "" : `Less than the smallest step, ${decimal(1, size_decimals)} ${name}.`;
}

/** What a share is a share of: of buying power, or of the position that is reduced. @param {Form} form @param {Facts} facts */
export function wholeOf(form, facts) {
  if (!form.isReduceOnly && !reduces(form.kind)) return facts.most;
  const held = BigInt(facts.position?.size_lots ?? 0);
  return form.side === "sell" ? (held > 0n ? held : 0n) : held < 0n ? -held : 0n;
}

/**
 * A stop that liquidation would come before, or null. @param {Leg} leg @param {Pick<PositionView, "size_lots" | "liquidation_price_ticks"> | undefined} position
 * as it would be when the stop stands
 */
export function beyondLiquidation(leg, position) {
  const { trigger, trigger_price_ticks: at, reduce_only, side } = leg.operation;
  const liquidation = position?.liquidation_price_ticks;
  if (!trigger || !reduce_only || !at || liquidation === null || liquidation === undefined) return null;
  const isLong = BigInt(position?.size_lots ?? 0) > 0n;
  if (isLong !== (side === 1)) return null;
  if (isLong && trigger === AT_OR_BELOW && BigInt(at) <= BigInt(liquidation)) return BigInt(liquidation);
  if (!isLong && trigger === AT_OR_ABOVE && BigInt(at) >= BigInt(liquidation)) return BigInt(liquidation);
  return null;
}

/** Whether a leg's trigger is reached at a price. @param {Leg} leg @param {number} price_ticks */
export function firesAtOnce(leg, price_ticks) {
  const { trigger, trigger_price_ticks: at } = leg.operation;
  if (!trigger || !at) return false;
  return trigger === AT_OR_ABOVE ? BigInt(price_ticks) >= BigInt(at) : BigInt(price_ticks) <= BigInt(at);
}

/** The initial fraction behind "at most so many times", rounded to less leverage; null where it is no number. @param {string} text */
export function boundOf(text) {
  const hundredths = parsed(text, 2);
  if (hundredths === null || hundredths < 0n) return null;
  if (hundredths === 0n) return 0;
  const ppm = (PPM * 100n + hundredths - 1n) / hundredths;
  return ppm > PPM ? null : Number(ppm);
}

/** A bound as it is read. @param {number} ppm */
export function boundText(ppm) {
  return ppm === 0 ? "no bound" : `at most ${decimal((PPM * 100n + BigInt(ppm) / 2n) / BigInt(ppm), 2).replace(/\.?0+$/, "")}×`;
}

const NOTHING_CAME = ["expired", "refused", "cancelled"];

/**
 * Sends a form's orders, the entry first: the others come after it, by its name.
 * @param {Leg[]} legs
 * @param {(operation: UnsignedOperation, beside: Beside) => Promise<OrderResult>} send
 * @returns {Promise<OrderResult[]>} fewer than legs where an entry is over without a fill: there is nothing to guard
 */
export async function sentInTurn(legs, send) {
  /** @type {OrderResult[]} */
  const results = [];
  for (const leg of legs) {
    const entry = results[0];
    if (leg.isAfter && entry && entry.filled_lots === 0 && NOTHING_CAME.includes(entry.status)) break;
    results.push(await send(leg.operation, leg.isAfter && entry ? { ...leg.beside, after: entry.order_id } : leg.beside));
  }
  return results;
}
