/** Calls of the contracts on L1 as bytes, and what they return as words: as much of the ABI as this page needs. Pure. */
import { hex, joined, keccakText, Malformed, number, unhex, word } from "./bytes.js";

/** @param {string} signature "name(type,type)" */
export function selector(signature) {
  return keccakText(signature).slice(0, 4);
}

/**
 * A call with arguments of one word each, behind which bytes may follow whose offset is one of them.
 * @param {string} signature
 * @param {...Uint8Array} words
 */
export function call(signature, ...words) {
  return joined(selector(signature), ...words);
}

/** Bytes as the ABI has them: their length, and themselves up to a whole word. @param {Uint8Array} bytes */
export function padded(bytes) {
  return joined(word(bytes.length), bytes, new Uint8Array((32 - (bytes.length % 32)) % 32));
}

/**
 * The words of an answer.
 * @param {string} answer
 * @param {number} [count] how many there have to be
 */
export function words(answer, count) {
  const bytes = unhex(answer);
  if (bytes.length % 32 !== 0 || (count !== undefined && bytes.length !== 32 * count)) {
    throw new Malformed(`an answer of ${bytes.length} bytes, where ${count ?? "whole"} words were expected`);
  }
  return Array.from({ length: bytes.length / 32 }, (_, at) => bytes.slice(32 * at, 32 * at + 32));
}

/** The one number that a view returned. @param {string} answer */
export function oneNumber(answer) {
  return number(words(answer, 1)[0] ?? new Uint8Array());
}

/** The address in a word; Malformed where there is more than one. @param {Uint8Array | undefined} of */
export function addressIn(of) {
  if (of === undefined || of.length !== 32 || of.slice(0, 12).some((byte) => byte !== 0)) throw new Malformed("no address");
  return hex(of.slice(12));
}
