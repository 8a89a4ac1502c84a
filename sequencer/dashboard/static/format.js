/**
 * Numbers as people read them. Money and sizes come as integers: they are never made floats before they are shown,
 * so that what is shown is what is, rounded once and in plain sight (exact text beside it, for a title).
 * @import {MarketView} from "./wire"
 */

/** @typedef {string | number | bigint} Integer */

const locale = globalThis.navigator?.language || "en";

/** The one sign of what is below zero, whatever the locale writes: as wide as a plus, and no hyphen. */
const MINUS = "−";
/** @param {string} text of a number */
export const signed = (text) => text.replace(/^-/, MINUS);

/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/**
 * @param {`${number}`} value
 * @param {number} least
 * @param {number} most
 * @param {"auto" | "exceptZero" | "never"} sign
 */
function grouped(value, least, most, sign) {
  const key = `${least}:${most}:${sign}`;
  let found = formats.get(key);
  if (found === undefined) {
    found = new Intl.NumberFormat(locale, { minimumFractionDigits: least, maximumFractionDigits: most, signDisplay: sign });
    formats.set(key, found);
  }
  // Some locales write a mark of direction before it.
  return found.format(value).replace("-", MINUS);
}

/**
 * An integer of 10^-decimals as decimal text, exactly.
 * @param {Integer} value
 * @param {number} decimals
 * @returns {`${number}`}
 */
export function decimal(value, decimals) {
  const number = BigInt(value);
  const sign = number < 0n ? "-" : "";
  const digits = (number < 0n ? -number : number).toString().padStart(decimals + 1, "0");
  const text = decimals === 0 ? digits : `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
  return /** @type {`${number}`} */ (sign + text);
}

/**
 * Decimal text as an integer of 10^-decimals; null where it is no number or has more decimals than there are.
 * @param {string} text
 * @param {number} decimals
 * @returns {bigint | null}
 */
export function parsed(text, decimals) {
  const found = /^([+-]?)(\d*)(?:[.,](\d*))?$/.exec(text.trim().replace(MINUS, "-").replaceAll(/[\s'_]/g, ""));
  if (found === null) return null;
  const [, sign = "", whole = "", fraction = ""] = found;
  if (whole + fraction === "" || fraction.length > decimals || whole.length > 30) return null;
  const value = BigInt(whole + fraction.padEnd(decimals, "0") || "0");
  return sign === "-" ? -value : value;
}

/**
 * Micro-dollars, rounded to cents; with a sign where gain and loss are told.
 * @param {Integer} micros
 * @param {{digits?: number, sign?: "auto" | "exceptZero" | "never"}} [options]
 */
export function dollars(micros, { digits = 2, sign = "auto" } = {}) {
  // A minus that is rounded away is none.
  return grouped(decimal(micros, 6), digits, digits, sign).replace(/^−(?=[0.,]+$)/, "");
}

/** Every digit, for a title. @param {Integer} micros */
export function exactDollars(micros) {
  return `${grouped(decimal(micros, 6), 2, 6, "auto")} dollars`;
}

/**
 * @param {Integer} ticks
 * @param {Pick<MarketView, "price_decimals">} market
 */
export function price(ticks, market) {
  return grouped(decimal(ticks, market.price_decimals), market.price_decimals, market.price_decimals, "auto");
}

/**
 * @param {Integer} lots
 * @param {Pick<MarketView, "size_decimals">} market
 * @param {"auto" | "exceptZero" | "never"} [sign]
 */
export function size(lots, market, sign = "auto") {
  return grouped(decimal(lots, market.size_decimals), 0, market.size_decimals, sign);
}

/**
 * Parts per million as percent.
 * @param {Integer | null | undefined} ppm
 * @param {number} [digits]
 */
export function percent(ppm, digits = 1) {
  return ppm === null || ppm === undefined ? "—" : `${grouped(decimal(ppm, 4), digits, digits, "auto")}%`;
}

/**
 * Basis points as percent, with a sign.
 * @param {number} bp
 * @param {number} [digits]
 */
export function basisPoints(bp, digits = 1) {
  return `${grouped(decimal(bp, 2), 0, digits, "exceptZero")}%`;
}

/**
 * Leverage in parts per million as "2.4x".
 * @param {Integer | null | undefined} ppm
 */
export function times(ppm) {
  return ppm === null || ppm === undefined ? "—" : `${grouped(decimal(ppm, 6), 1, 1, "auto")}×`;
}

const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const whole = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium" });

/** @param {number} ms */
export function timeOfDay(ms) {
  return clock.format(ms);
}

const near = new Intl.DateTimeFormat(locale, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** Until when, as long as nobody counts seconds. @param {number} ms */
export function dayAndTime(ms) {
  return near.format(ms);
}

/** @param {number} ms */
export function exactTime(ms) {
  return whole.format(ms);
}

/**
 * How long ago, or until when.
 * @param {number} ms
 * @param {number} now
 */
export function relative(ms, now) {
  const seconds = Math.round((now - ms) / 1000);
  const far = Math.abs(seconds);
  const text = far < 60 ? `${far} s` : far < 3600 ? `${Math.round(far / 60)} min` : far < 172_800 ? `${Math.round(far / 3600)} h` : `${Math.round(far / 86_400)} d`;
  return seconds >= 0 ? `${text} ago` : `in ${text}`;
}

/** The first and last digits of an address. @param {string} address */
export function short(address) {
  return `${address.slice(0, 6)}…${address.slice(-4)}`;
}

/** The one sentence for a liquidation price that there is none of, everywhere. */
export const NO_LIQUIDATION_PRICE = "none";
export const WHY_NO_LIQUIDATION_PRICE = "these positions cannot be liquidated by this price alone.";
