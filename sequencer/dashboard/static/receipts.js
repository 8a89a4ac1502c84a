/** The sequencer's signed word on a soft cancel (PROTOCOL.md §5.4): without it nobody can show what was promised. Pure. */
import { joined, keccak, keccakText, unhex, word } from "./bytes.js";
import { domainSeparator, signatureOf, signerOf } from "./signing.js";

/** @typedef {import("./wire").ReceiptView} ReceiptView */

const TYPE = keccakText("Receipt(uint24 account,uint8 slot,uint48 sequence,uint48 time_ms,bytes32 running_hash)");
// A receipt of a later time would be no evidence of what is filled until then.
const TOLERANCE_MS = 10_000;

/** @param {ReceiptView} receipt @param {import("./signing.js").Domain} domain */
export function receiptDigest(receipt, domain) {
  const numbers = [receipt.account, receipt.slot, receipt.sequence, receipt.time_ms].map((one) => word(one));
  const struct = keccak(joined(TYPE, ...numbers, unhex(receipt.running_hash, 32)));
  return keccak(joined(new Uint8Array([0x19, 0x01]), domainSeparator(domain), struct));
}

/** Whose key signed it; null: nobody's. @param {ReceiptView} receipt @param {import("./signing.js").Domain} domain */
export function signerOfReceipt(receipt, domain) {
  return signerOf(receiptDigest(receipt, domain), signatureOf(receipt.signature));
}

/**
 * Why a receipt is no evidence of a cancel, whoever has signed it; null where it may be: seat.js says whose it is.
 * @param {ReceiptView | null} receipt
 * @param {import("./signing.js").Message} message
 * @param {number} nowMs
 * @returns {string | null}
 */
export function broken(receipt, message, nowMs) {
  if (receipt === null) return "the node gave no receipt";
  const isOfIt = receipt.account === message["account"] && receipt.slot === (message["slot"] ?? 0) && receipt.sequence === message["sequence"];
  if (!isOfIt) return "the receipt is for something else";
  return receipt.time_ms > nowMs + TOLERANCE_MS ? "the receipt is of a time that has not come" : null;
}
