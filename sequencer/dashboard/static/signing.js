/**
 * What is signed: EIP-712 typed data of each kind of operation, and of an access, built here field by field
 * (PROTOCOL.md §5), never taken from a node. A golden test holds digests to the law's.
 */
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { addressWord, hex, joined, keccak, keccakText, Malformed, number, unhex, word } from "./bytes.js";

/**
 * The venue that a signature is for.
 * @typedef {object} Domain
 * @property {number} chainId
 * @property {string} bridge
 */
/** @typedef {"order" | "withdraw" | "transfer" | "cancel" | "cancel_all" | "set_agent" | "set_leverage"} Operation */
/** An operation, or, to be told of an account, a challenge of the connection. @typedef {Operation | "access"} Kind */
/** @typedef {Record<string, number | bigint | boolean | string>} Message */

/** @type {[string, string][]} */
const HEAD = [["account", "uint24"], ["slot", "uint8"], ["sequence", "uint48"]];
/** @type {[string, string][]} */
const TIMES = [["created_at_ms", "uint48"], ["expires_at_ms", "uint48"]];
/** @type {[string, string]} */
const MOST = ["max_posting_fee_micros", "uint24"];

/** By kind: the signed type's name, and its fields in signing order. @type {Record<Kind, [string, [string, string][]]>} */
export const SIGNED = {
  order: [
    "Order",
    [
      ["account", "uint24"],
      ["market", "uint8"],
      ["side", "uint8"],
      ["size_lots", "uint56"],
      ["limit_price_ticks", "uint48"],
      ["slot", "uint8"],
      ["sequence", "uint48"],
      ...TIMES,
      ["time_in_force", "uint8"],
      ["post_only", "bool"],
      ["reduce_only", "bool"],
      ["trigger", "uint8"],
      ["trigger_price_ticks", "uint48"],
      ["max_fee_ppm", "uint16"],
      MOST,
    ],
  ],
  withdraw: ["Withdraw", [...HEAD, ...TIMES, ["amount_micros", "uint64"], ["recipient", "address"], MOST]],
  transfer: ["Transfer", [...HEAD, ...TIMES, ["amount_micros", "uint64"], ["to_account", "uint24"], MOST]],
  cancel: ["Cancel", [...HEAD, ...TIMES, MOST]],
  cancel_all: ["CancelAll", [["account", "uint24"], ["sequence", "uint48"], ...TIMES, MOST]],
  set_agent: [
    "SetAgent",
    [
      ...HEAD,
      ...TIMES,
      ["agent_index", "uint8"],
      ["agent", "address"],
      ["agent_expires_at_ms", "uint48"],
      ["first_slot", "uint8"],
      ["last_slot", "uint8"],
      MOST,
    ],
  ],
  set_leverage: ["SetLeverage", [...HEAD, ...TIMES, ["initial_ppm", "uint24"], MOST]],
  access: ["Access", [["account", "uint24"], ["host", "string"], ["challenge", "bytes32"], ["expires_at_ms", "uint48"]]],
};

/** @type {[string, string][]} */
const DOMAIN_FIELDS = [["name", "string"], ["version", "string"], ["chainId", "uint256"], ["verifyingContract", "address"]];
const NAME = "Catenary";
const VERSION = "1";

/** @param {string} name @param {[string, string][]} fields */
function typeHash(name, fields) {
  return keccakText(`${name}(${fields.map(([field, type]) => `${type} ${field}`).join(",")})`);
}

/** @param {string} type @param {Message[string] | undefined} value */
function fieldWord(type, value) {
  if (type === "bool") {
    if (typeof value !== "boolean") throw new Malformed(`${value} is neither true nor false`);
    return word(value ? 1 : 0);
  }
  if (type === "address") return addressWord(String(value));
  if (type === "string") return keccakText(String(value));
  if (type === "bytes32") return unhex(String(value), 32);
  const bits = BigInt(type.slice("uint".length));
  const of = BigInt(/** @type {any} */ (value));
  if (of < 0n || of >> bits !== 0n) throw new Malformed(`${value} is wider than ${type}`);
  return word(of);
}

/** The EIP-712 domain separator of a venue. @param {Domain} domain */
export function domainSeparator(domain) {
  const own = [keccakText(NAME), keccakText(VERSION), word(domain.chainId), addressWord(domain.bridge)];
  return keccak(joined(typeHash("EIP712Domain", DOMAIN_FIELDS), ...own));
}

/**
 * The 32 bytes that are signed.
 * @param {Kind} kind
 * @param {Message} message
 * @param {Domain} domain
 */
export function digest(kind, message, domain) {
  const [name, fields] = SIGNED[kind];
  const words = fields.map(([field, type]) => fieldWord(type, message[field]));
  const struct = keccak(joined(typeHash(name, fields), ...words));
  return keccak(joined(new Uint8Array([0x19, 0x01]), domainSeparator(domain), struct));
}

/**
 * What eth_signTypedData_v4 takes: numbers as text, so that no wallet rounds one.
 * @param {Kind} kind
 * @param {Message} message
 * @param {Domain} domain
 */
export function typedData(kind, message, domain) {
  const [name, fields] = SIGNED[kind];
  const typed = (/** @type {[string, string][]} */ of) => of.map(([field, type]) => ({ name: field, type }));
  return {
    types: { EIP712Domain: typed(DOMAIN_FIELDS), [name]: typed(fields) },
    primaryType: name,
    domain: { name: NAME, version: VERSION, chainId: domain.chainId, verifyingContract: domain.bridge },
    message: Object.fromEntries(
      fields.map(([field, type]) => [field, type === "bool" ? message[field] : String(message[field])]),
    ),
  };
}

/**
 * 65 bytes r, s, v of a digest, with a low s and v of 27 or 28.
 * @param {Uint8Array} key
 * @param {Uint8Array} digest32
 */
export function signed(key, digest32) {
  const made = secp256k1.sign(digest32, key, { prehash: false, format: "recovered" });
  return joined(made.slice(1), new Uint8Array([27 + (made[0] ?? 0)]));
}

/** @param {Uint8Array} key */
export function addressOf(key) {
  return hex(keccak(secp256k1.getPublicKey(key, false).slice(1)).slice(12));
}

/** Half of the curve's order: what is above is the malleable twin of another signature, which the law refuses. */
const HALF_ORDER = secp256k1.Point.CURVE().n >> 1n;

/**
 * Who signed a digest; null for nobody. Takes 64 bytes (EIP-2098) and 65 bytes with v of 0, 1, 27 or 28.
 * @param {Uint8Array} digest32
 * @param {Uint8Array} signature
 */
export function signerOf(digest32, signature) {
  const r = signature.slice(0, 32);
  let s = number(signature.slice(32, 64));
  let parity = 0;
  if (signature.length === 64) {
    parity = Number(s >> 255n);
    s &= (1n << 255n) - 1n;
  } else if (signature.length === 65) {
    parity = (signature[64] ?? 255) % 27;
  } else {
    return null;
  }
  if (parity > 1 || s > HALF_ORDER) return null;
  try {
    const whole = joined(new Uint8Array([parity]), r, word(s));
    const point = secp256k1.recoverPublicKey(whole, digest32, { prehash: false });
    return hex(keccak(secp256k1.Point.fromBytes(point).toBytes(false).slice(1)).slice(12));
  } catch {
    // No such point on the curve.
    return null;
  }
}

/** @param {string} text */
export function signatureOf(text) {
  const bytes = unhex(text);
  if (bytes.length !== 64 && bytes.length !== 65) throw new Malformed(`a signature has 64 or 65 bytes, not ${bytes.length}`);
  return bytes;
}
