/** Bytes as Ethereum has them: hexadecimal text, words of 32 bytes, Keccak-256, addresses. */
import { keccak_256 } from "@noble/hashes/sha3.js";

/** @typedef {`0x${string}`} Hex */

const HEX = /^0x(?:[0-9a-fA-F]{2})*$/;

/** What was said to be bytes, an address or a number of some width, and is none. */
export class Malformed extends Error {}

/** @param {Uint8Array} bytes @returns {Hex} */
export function hex(bytes) {
  let text = "0x";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return /** @type {Hex} */ (text);
}

/**
 * @param {string} text
 * @param {number} [size] how many bytes it has to be
 */
export function unhex(text, size) {
  if (typeof text !== "string" || !HEX.test(text)) throw new Malformed(`not hexadecimal: ${String(text).slice(0, 80)}`);
  const bytes = new Uint8Array((text.length - 2) / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = parseInt(text.slice(2 + 2 * at, 4 + 2 * at), 16);
  if (size !== undefined && bytes.length !== size) throw new Malformed(`${bytes.length} bytes, not ${size}`);
  return bytes;
}

/** @param {...Uint8Array} parts */
export function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, one) => sum + one.length, 0));
  let at = 0;
  for (const one of parts) {
    whole.set(one, at);
    at += one.length;
  }
  return whole;
}

/**
 * A number, big-endian; two's complement below zero.
 * @param {bigint | number | string} value
 * @param {number} [size]
 */
export function word(value, size = 32) {
  let left = BigInt(value);
  const bound = 1n << BigInt(8 * size);
  if (left >= bound || left < -bound / 2n) throw new Malformed(`${left} does not fit into ${size} bytes`);
  if (left < 0n) left += bound;
  return unhex(`0x${left.toString(16).padStart(2 * size, "0")}`);
}

/** @param {Uint8Array} bytes unsigned, big-endian */
export function number(bytes) {
  return bytes.length === 0 ? 0n : BigInt(hex(bytes));
}

/** @param {Uint8Array} bytes two's complement, big-endian */
export function signedNumber(bytes) {
  return BigInt.asIntN(8 * bytes.length, number(bytes));
}

/** @param {Uint8Array} bytes */
export function keccak(bytes) {
  return keccak_256(bytes);
}

/** @param {string} text */
export function keccakText(text) {
  return keccak_256(new TextEncoder().encode(text));
}

/** An address in a word. @param {string} address */
export function addressWord(address) {
  return joined(new Uint8Array(12), unhex(address, 20));
}

/** The address with the upper and lower case letters that check it (EIP-55). @param {string | Uint8Array} address */
export function checksummed(address) {
  const plain = (typeof address === "string" ? hex(unhex(address, 20)) : hex(address)).slice(2);
  const digest = hex(keccakText(plain)).slice(2);
  const letters = [...plain].map((letter, at) => (parseInt(digest[at] ?? "0", 16) > 7 ? letter.toUpperCase() : letter));
  return `0x${letters.join("")}`;
}

/** Whether two addresses, hashes or other hexadecimal texts are the same. @param {string} a @param {string} b */
export function same(a, b) {
  return a.toLowerCase() === b.toLowerCase();
}
