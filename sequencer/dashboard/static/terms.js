/**
 * Operations as they will be signed: what a form leaves open filled in by this page, within what it has shown.
 *
 * Invariant: nothing but the order slot comes from the node, and a slot alone moves no money.
 * @import {UnsignedOperation} from "./wire"
 * @import {Kind, Message} from "./signing.js"
 */
import { Malformed } from "./bytes.js";
import { SIGNED } from "./signing.js";

/** Times in force. */
export const GOOD_TILL_TIME = 0;
export const IMMEDIATE_OR_CANCEL = 1;
export const FILL_OR_KILL = 2;
/** `to_account` of a transfer that opens an account for the same owner. */
export const NEW_ACCOUNT = 16_777_215;
export const SLOTS = { first: 1, last: 255 };

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
const IMMEDIATE_LIFE = 10 * SECOND;
const STOP_LIFE = 30 * DAY;
// A request is sent at once: the law would let it live for ten minutes.
const REQUEST_LIFE = 60 * SECOND;
const LONGEST_REQUEST_LIFE = 600 * SECOND;
/** The law's largest fee of a trade, and largest posting fee. */
export const MOST_FEE_PPM = 1_000;
export const MOST_POSTING_FEE_MICROS = 1_000_000;
export const NOBODY = `0x${"00".repeat(20)}`;

/**
 * What the page knows when it fills in. `lastSequence`: of what this page signed before; a sequence is never used twice.
 * @typedef {object} Known
 * @property {number} nowMs
 * @property {number} lastSequence
 * @property {number} slot
 * @property {number} postingFeeMicros
 * @property {{makerFeePpm: number, takerFeePpm: number} | undefined} market of an order
 * @property {string} signer to whom a withdrawal goes that names nobody
 */

/** @type {Record<string, number | boolean | string>} */
const ORDER_DEFAULTS = {
  time_in_force: GOOD_TILL_TIME,
  post_only: false,
  reduce_only: false,
  trigger: 0,
  trigger_price_ticks: 0,
};
/** @type {Record<string, number | boolean | string>} */
const REQUEST_DEFAULTS = { agent: NOBODY, agent_index: 0, agent_expires_at_ms: 0, first_slot: 0, last_slot: 0 };

/**
 * The default lifetime of an operation, and the longest one that the law takes.
 * @param {UnsignedOperation} operation
 * @returns {[number, number]}
 */
export function lifetimes(operation) {
  if (operation.kind !== "order") return [REQUEST_LIFE, LONGEST_REQUEST_LIFE];
  if (operation.reduce_only && operation.trigger) return [STOP_LIFE, STOP_LIFE];
  if ((operation.time_in_force ?? GOOD_TILL_TIME) !== GOOD_TILL_TIME) return [IMMEDIATE_LIFE, IMMEDIATE_LIFE];
  // What a soft cancel takes out could still be filled by a hostile sequencer for so long.
  return [HOUR, DAY];
}

/**
 * The whole message of an operation, in its signed fields alone; Malformed for what the law can only refuse.
 * @param {UnsignedOperation} operation
 * @param {Known} known
 * @returns {Message}
 */
export function whole(operation, known) {
  const asked = Object.fromEntries(Object.entries(operation).filter(([, value]) => value !== null && value !== undefined));
  const created = Number(asked["created_at_ms"] ?? Math.max(known.nowMs, known.lastSequence + 1));
  const [life, longest] = lifetimes(operation);
  const isCancel = operation.kind === "cancel" || operation.kind === "cancel_all";
  /** @type {Record<string, any>} */
  const filled = {
    ...(operation.kind === "order" ? ORDER_DEFAULTS : REQUEST_DEFAULTS),
    slot: known.slot,
    created_at_ms: created,
    sequence: created,
    expires_at_ms: created + life,
    max_fee_ppm: known.market ? Math.max(known.market.makerFeePpm, known.market.takerFeePpm) : MOST_FEE_PPM,
    // A cancel is soft, and free, unless it says otherwise.
    max_posting_fee_micros: isCancel ? 0 : known.postingFeeMicros,
    recipient: known.signer,
    ...asked,
  };
  const [, fields] = SIGNED[/** @type {Kind} */ (operation.kind)];
  /** @type {Message} */
  const message = {};
  for (const [name, type] of fields) {
    const value = filled[name];
    if (value === undefined) throw new Malformed(`${operation.kind} lacks ${name}`);
    message[name] = type === "bool" || type === "address" ? value : exact(name, value);
  }
  const lives = Number(message["expires_at_ms"]) - Number(message["created_at_ms"]);
  if (lives <= 0 || lives > longest) throw new Malformed(`this may live ${longest / SECOND} s at most, not ${lives / SECOND} s`);
  if (Number(message["max_fee_ppm"] ?? 0) > MOST_FEE_PPM) throw new Malformed(`no trade costs more than ${MOST_FEE_PPM} ppm`);
  if (Number(message["max_posting_fee_micros"]) > MOST_POSTING_FEE_MICROS) throw new Malformed("no posting costs more than a dollar");
  return message;
}

/** A number that is safe as one, else its text. @param {string} name @param {any} value */
function exact(name, value) {
  if (typeof value !== "number" && !/^\d{1,20}$/.test(String(value))) throw new Malformed(`${name} is no number: ${value}`);
  const number = BigInt(value);
  return number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : number.toString();
}
