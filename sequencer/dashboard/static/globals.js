/** The venue's globals as bytes that L1 commits to (PROTOCOL.md §4.6, §4.7): what lots, ticks and fees mean. Pure. */
import { hex, Malformed, number } from "./bytes.js";
import { addressIn } from "./calls.js";

/**
 * A market as L1 has it.
 * @typedef {object} ListedMarket
 * @property {number} index
 * @property {string} name
 * @property {number} sizeDecimals
 * @property {number} makerFeePpm
 * @property {number} takerFeePpm
 */
/**
 * @typedef {object} Globals
 * @property {number} postingFeeMicros
 * @property {number} quorum
 * @property {string} operator
 * @property {string[]} signers
 * @property {ListedMarket[]} markets
 */

const WORDS = 432;
const SIGNERS = 7;
const MARKETS = 16;
const FIRST_MARKET = 139;
const MARKET_WORDS = 18;
const PPM = 1_000_000n;
const NOBODY = `0x${"00".repeat(20)}`;

/** @param {Uint8Array} bytes */
function wordsOf(bytes) {
  if (bytes.length !== 32 * WORDS) throw new Malformed(`globals have ${32 * WORDS} bytes, not ${bytes.length}`);
  return (/** @type {number} */ at) => bytes.subarray(32 * at, 32 * at + 32);
}

/** @param {Uint8Array} bytes @returns {Globals} */
export function globalsOf(bytes) {
  const at = wordsOf(bytes);
  const value = (/** @type {number} */ index) => Number(number(at(index)));
  const count = value(1);
  if (!(count >= 1 && count <= MARKETS)) throw new Malformed(`globals have 1 to ${MARKETS} markets, not ${count}`);
  const markets = Array.from({ length: count }, (_, index) => {
    const first = FIRST_MARKET + MARKET_WORDS * index;
    const { name, sizeDecimals } = labelOf(at(first), index);
    return { index, name, sizeDecimals, makerFeePpm: value(first + 2), takerFeePpm: value(first + 3) };
  });
  const signers = Array.from({ length: SIGNERS }, (_, index) => addressIn(at(19 + index))).filter((one) => one !== NOBODY);
  return { postingFeeMicros: value(4), quorum: value(2), operator: addressIn(at(18)), signers, markets };
}

/** @param {Uint8Array} label @param {number} index */
function labelOf(label, index) {
  const end = label.indexOf(0);
  const text = new TextDecoder().decode(label.subarray(0, end < 0 || end > 31 ? 31 : end));
  // Anything else could pass for another market's name on a screen.
  return { name: /^[A-Za-z0-9._-]{1,31}$/.test(text) ? text : `market ${index}`, sizeDecimals: label[31] ?? 255 };
}

/**
 * That a genesis is one for which everything in PROTOCOL.md §2 is claimed; Malformed names what is not.
 * @param {Uint8Array} bytes
 */
export function requireLegal(bytes) {
  const at = wordsOf(bytes);
  const value = (/** @type {number} */ index) => number(at(index));
  const require = (/** @type {boolean} */ holds, /** @type {string} */ what) => {
    if (!holds) throw new Malformed(`the genesis is not legal: ${what}`);
  };
  const { markets, signers, quorum, postingFeeMicros } = globalsOf(bytes);
  require(value(0) === 17n, "the next account is 17");
  const given = Array.from({ length: SIGNERS }, (_, index) => hex(at(19 + index)));
  require(given.slice(signers.length).every((one) => BigInt(one) === 0n), "signers stand first");
  require(new Set(signers).size === signers.length, "signers are distinct");
  require(quorum % 2 === 1 && quorum <= signers.length && quorum > 2 * Math.floor((signers.length - 1) / 3), "quorum");
  require(postingFeeMicros > 0 && BigInt(postingFeeMicros) <= PPM, "posting fee");
  require(value(8) <= 3_600_000n, "grace");
  const zeros = [3, 5, 6, 7, ...range(9, 18), ...range(26, 90), ...range(122, 139), ...range(427, WORDS)];
  require(zeros.every((index) => value(index) === 0n), "what has not happened is zero");
  for (let market = 0; market < MARKETS; market++) {
    const first = FIRST_MARKET + MARKET_WORDS * market;
    const [initial, maintenance] = [value(90 + market), value(106 + market)];
    if (market >= markets.length) {
      require([90 + market, 106 + market, ...range(first, first + MARKET_WORDS)].every((index) => value(index) === 0n), "absent markets are zero");
      continue;
    }
    require((markets[market]?.sizeDecimals ?? 255) <= 6, "size decimals");
    require(maintenance > 0n && maintenance <= initial && initial <= PPM, "requirements");
    require(value(first + 1) <= 1n, "status");
    require(value(first + 2) < 65_536n && value(first + 3) < 65_536n, "fees");
    require(value(first + 4) <= PPM && value(first + 5) <= PPM, "bands");
    require(value(first + 6) < 1n << 96n && value(first + 7) < 1n << 104n, "terms");
    // The price that a listing names is of later markets alone.
    require([...range(first + 8, first + 11), ...range(first + 13, first + MARKET_WORDS)].every((index) => value(index) === 0n), "what has not happened is zero");
    require(value(first + 11) < value(first + 12) && value(first + 12) < 1n << 104n, "open interest");
  }
}

/** @param {number} from @param {number} to */
function range(from, to) {
  return Array.from({ length: to - from }, (_, index) => from + index);
}

