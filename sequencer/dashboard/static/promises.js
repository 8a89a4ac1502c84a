/**
 * The sequencer's signed word that what it took will be posted (PROTOCOL.md §5.5): one signature over a tree of all that
 * was taken together. Pure.
 */
import { joined, keccak, keccakText, unhex, word } from "./bytes.js";
import { domainSeparator, signatureOf, signerOf } from "./signing.js";

/** @typedef {import("./wire").AcknowledgementView} Given */
/** What was sent, and what the node says came of it. @typedef {{tag: number, account: number, slot: number, sequence: number, lots: bigint}} Expected */

const TYPE = keccakText("Acknowledged(bytes32 root)");
const MOST_STEPS = 16;
// A promise of a later time would be no evidence until then.
const TOLERANCE_MS = 10_000;
/** The law's tag of an operation. @type {Record<string, number>} */
export const TAGS = { withdraw: 2, transfer: 3, cancel: 4, cancel_all: 5, order: 7, set_agent: 9, set_leverage: 10 };

/** @param {Given} given */
export function rootOf(given) {
  const own = [given.tag, given.account, given.slot, given.sequence, given.filled_lots, given.time_ms];
  let node = keccak(joined(...own.map((one) => word(one))));
  given.path.forEach((sibling, level) => {
    const other = unhex(sibling, 32);
    node = keccak((given.place >> level) & 1 ? joined(other, node) : joined(node, other));
  });
  return node;
}

/** @param {Uint8Array} root @param {import("./signing.js").Domain} domain */
export function acknowledgedDigest(root, domain) {
  return keccak(joined(new Uint8Array([0x19, 0x01]), domainSeparator(domain), keccak(joined(TYPE, root))));
}

/** Whose key signed the group that it is of; null: nobody's. @param {Given} given @param {import("./signing.js").Domain} domain */
export function signerOfPromise(given, domain) {
  if (given.path.length > MOST_STEPS || given.place < 0 || given.place >= 2 ** given.path.length) return null;
  return signerOf(acknowledgedDigest(rootOf(given), domain), signatureOf(given.signature));
}

/**
 * Why a promise is none, whoever has signed it; null where it may be one: seat.js says whose it is.
 * @param {Given | null | undefined} given
 * @param {Expected} expected
 * @param {number} nowMs
 * @returns {string | null}
 */
export function faulty(given, expected, nowMs) {
  if (!given) return "the node gave no signed promise";
  const isOfIt = given.tag === expected.tag && given.account === expected.account && given.slot === expected.slot && given.sequence === expected.sequence;
  if (!isOfIt) return "the promise is of something else";
  if (BigInt(given.filled_lots) < expected.lots) return "it promises fewer lots than the node says are filled";
  return given.time_ms > nowMs + TOLERANCE_MS ? "the promise is of a time that has not come" : null;
}

/** Lots that an order took at its arrival, by an answer that may come long after: those are what is promised. @param {import("./wire").OrderResult} result */
export function takenLots(result) {
  const given = result.acknowledgement;
  if (!given || result.fills.length === 0) return BigInt(result.filled_lots);
  const own = result.fills.filter((one) => one.taker_order_id === result.order_id && one.time_ms <= given.time_ms);
  return own.reduce((sum, one) => sum + BigInt(one.size_lots), 0n);
}
