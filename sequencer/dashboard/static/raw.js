/** Transactions of a key in this browser: EIP-1559, by recursive length prefix, signed here. Pure. */
import { hex, joined, keccak, number, unhex } from "./bytes.js";
import { signed } from "./signing.js";

/** @typedef {Uint8Array | Item[]} Item */

/** @param {number} length @param {number} base */
function prefix(length, base) {
  if (length < 56) return new Uint8Array([base + length]);
  const size = whole(BigInt(length));
  return joined(new Uint8Array([base + 55 + size.length]), size);
}

/** A number without leading zeros; zero is nothing. @param {bigint} value */
function whole(value) {
  if (value === 0n) return new Uint8Array();
  const text = value.toString(16);
  return unhex(`0x${text.length % 2 ? "0" : ""}${text}`);
}

/** @param {Item} item @returns {Uint8Array} */
export function rlp(item) {
  if (item instanceof Uint8Array) {
    return item.length === 1 && (item[0] ?? 0) < 0x80 ? item : joined(prefix(item.length, 0x80), item);
  }
  const content = joined(...item.map(rlp));
  return joined(prefix(content.length, 0xc0), content);
}

/**
 * @typedef {object} Transaction
 * @property {number} chainId
 * @property {number} nonce
 * @property {bigint} tipWei
 * @property {bigint} maxFeeWei
 * @property {number} gas
 * @property {string} to
 * @property {bigint} [value]
 * @property {Uint8Array} [data]
 */

/**
 * The signed bytes of a transaction, and its hash.
 * @param {Uint8Array} key
 * @param {Transaction} transaction
 */
export function signedTransaction(key, transaction) {
  const { chainId, nonce, tipWei, maxFeeWei, gas, to, value = 0n, data = new Uint8Array() } = transaction;
  const plain = [BigInt(chainId), BigInt(nonce), tipWei, maxFeeWei, BigInt(gas)].map(whole);
  /** @type {Item[]} */
  const fields = [...plain, unhex(to, 20), whole(value), data, []];
  const kind = new Uint8Array([2]);
  const signature = signed(key, keccak(joined(kind, rlp(fields))));
  const parity = BigInt((signature[64] ?? 27) - 27);
  const proof = [whole(parity), whole(number(signature.slice(0, 32))), whole(number(signature.slice(32, 64)))];
  const raw = joined(kind, rlp([...fields, ...proof]));
  return { raw: hex(raw), hash: hex(keccak(raw)) };
}
