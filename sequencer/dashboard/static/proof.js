/**
 * A proof that somebody else has made, followed step by step to the root that the bridge keeps (PROTOCOL.md §4). Pure:
 * a step that does not come out says so, and nothing after it is believed.
 *
 * @import {AccountProof, WithdrawalProof} from "./wire"
 */
import { addressWord, hex, joined, keccak, Malformed, number, same, unhex, word } from "./bytes.js";

/**
 * One step: what was computed from what, and whether it is what it has to be.
 * @typedef {object} Step
 * @property {string} title
 * @property {string} value
 * @property {string} detail
 * @property {boolean} holds
 */
/**
 * @typedef {object} Position
 * @property {number} market
 * @property {bigint} sizeLots
 * @property {bigint} costMicros
 */
/**
 * What the leaf says.
 * @typedef {object} Row
 * @property {string} owner
 * @property {bigint} settledMicros
 * @property {bigint} olderMicros
 * @property {bigint} freshMicros
 * @property {string[]} agents
 * @property {Position[]} positions
 */

const DEPTH = 32;
const ZERO = new Uint8Array(32);
const BIAS = 1n << 127n;
const FIXED_BYTES = 152;
const MARKETS = 16;

/** @param {Uint8Array} one */
function isZero(one) {
  return one.every((byte) => byte === 0);
}

/** @param {Uint8Array} left @param {Uint8Array} right */
export function parent(left, right) {
  return isZero(left) && isZero(right) ? ZERO : keccak(joined(left, right));
}

/**
 * The leaf of an account out of the bytes that a witness carries, and what they say; an absent account has none.
 * @param {Uint8Array} payload
 * @returns {{leaf: Uint8Array, preimage: Uint8Array, row: Row}}
 */
export function leafOf(payload) {
  if (payload.length === 0) {
    const row = { owner: `0x${"00".repeat(20)}`, settledMicros: 0n, olderMicros: 0n, freshMicros: 0n, agents: [], positions: [] };
    return { leaf: ZERO, preimage: new Uint8Array(832), row };
  }
  if (payload.length < FIXED_BYTES) throw new Malformed(`a leaf has ${FIXED_BYTES} bytes at least, not ${payload.length}`);
  const part = (/** @type {number} */ from, /** @type {number} */ to) => payload.slice(from, to);
  const money = (/** @type {number} */ from) => number(part(from, from + 16)) - BIAS;
  const held = number(part(150, 152));
  const words = [];
  let at = FIXED_BYTES;
  for (let market = 0; market < MARKETS; market++) {
    if (((held >> BigInt(market)) & 1n) === 1n) {
      words.push(part(at, at + 32));
      at += 32;
    } else {
      words.push(ZERO);
    }
  }
  if (payload.length !== at) throw new Malformed(`the leaf has ${payload.length} bytes, its positions need ${at}`);
  const [settledMicros, olderMicros, freshMicros] = [money(27), money(43), money(59)];
  const agents = [part(82, 110), part(110, 138)];
  const preimage = joined(
    addressWord(hex(part(0, 20))),
    word(number(part(20, 27))),
    ...[settledMicros, olderMicros, freshMicros].map((one) => word(one)),
    word(number(part(75, 79))),
    word(number(part(79, 82))),
    ...agents.map((one) => word(number(one))),
    ...words,
    word(number(part(138, 150))),
  );
  const positions = words.flatMap((one, market) => (isZero(one) ? [] : [positionOf(one, market)]));
  const named = agents.filter((one) => !isZero(one)).map((one) => hex(one.slice(0, 20)));
  const row = { owner: hex(part(0, 20)), settledMicros, olderMicros, freshMicros, agents: named, positions };
  return { leaf: isZero(preimage) ? ZERO : keccak(preimage), preimage, row };
}

/** @param {Uint8Array} packed @param {number} market @returns {Position} */
function positionOf(packed, market) {
  return { market, sizeLots: number(packed.slice(0, 8)) - (1n << 63n), costMicros: number(packed.slice(8, 22)) - (1n << 111n) };
}

/**
 * From a leaf to the root of its tree, a step a level.
 * @param {Uint8Array} leaf
 * @param {bigint} index
 * @param {Uint8Array[]} path
 * @returns {{root: Uint8Array, steps: Step[]}}
 */
export function climbed(leaf, index, path) {
  if (path.length !== DEPTH) throw new Malformed(`the path has ${path.length} siblings, not ${DEPTH}`);
  let node = leaf;
  const steps = path.map((sibling, level) => {
    const isRight = ((index >> BigInt(level)) & 1n) === 1n;
    node = isRight ? parent(sibling, node) : parent(node, sibling);
    const side = isRight ? "left" : "right";
    return { title: `Level ${level + 1}`, value: hex(node), detail: `${side} of it ${isZero(sibling) ? "nothing" : hex(sibling)}`, holds: true };
  });
  return { root: node, steps };
}

/** @typedef {(batch: number) => Promise<string>} RootOf the root that the bridge keeps of a batch, on L1 */

/**
 * The last two steps: the tree's root stands in the commitment, and the commitment opens what the bridge keeps.
 * @param {{batch: number, commitment: string[]}} proof
 * @param {Uint8Array} root
 * @param {number} place of the tree's root among the commitment's words
 * @param {RootOf} rootOf
 * @returns {Promise<Step[]>}
 */
async function anchored(proof, root, place, rootOf) {
  const words = proof.commitment.map((one) => unhex(one, 32));
  if (words.length !== 9) throw new Malformed(`a commitment has nine words, not ${words.length}`);
  const named = words[place] ?? ZERO;
  const stands = same(hex(root), hex(named));
  const steps = [
    { title: "The tree's root stands in the commitment", value: hex(root), detail: stands ? `word ${place} of nine` : `word ${place} is ${hex(named)}`, holds: stands },
  ];
  if (!stands) return steps;
  const state = hex(keccak(joined(...words)));
  const kept = await rootOf(proof.batch);
  const opens = same(state, kept);
  const detail = opens ? "what the bridge on L1 keeps, asked just now" : `the bridge keeps ${kept}`;
  return [...steps, { title: `The commitment opens batch ${proof.batch}`, value: state, detail, holds: opens }];
}

/**
 * An account's proof, step by step; `row` is believed where every step holds.
 * @param {number} account
 * @param {AccountProof} proof
 * @param {RootOf} rootOf
 * @param {string} [owner] whose it has to be
 * @returns {Promise<{steps: Step[], row: Row, holds: boolean}>}
 */
export async function followed(account, proof, rootOf, owner) {
  const { leaf, row } = leafOf(unhex(proof.leaf));
  const isTheirs = owner === undefined || same(owner, row.owner);
  /** @type {Step[]} */
  const steps = [
    {
      title: isZero(leaf) ? "The batch holds the account" : "The leaf is of its owner",
      value: row.owner,
      detail: isTheirs ? `account ${account}` : `not ${owner}`,
      holds: isTheirs,
    },
    { title: "The leaf's hash", value: hex(leaf), detail: "keccak of its 26 words", holds: true },
  ];
  const path = proof.path.map((one) => unhex(one, 32));
  const { root, steps: levels } = climbed(leaf, BigInt(account) << 8n, path);
  steps.push(...levels, ...(await anchored(proof, root, 1, rootOf)));
  return { steps, row, holds: steps.every((one) => one.holds) };
}

/**
 * A withdrawal's proof, step by step.
 * @param {number} index
 * @param {WithdrawalProof} proof
 * @param {RootOf} rootOf
 * @returns {Promise<{steps: Step[], holds: boolean}>}
 */
export async function followedWithdrawal(index, proof, rootOf) {
  const leaf = keccak(joined(word(1), word(index), addressWord(proof.recipient), word(proof.amount_micros)));
  const path = proof.proof.map((one) => unhex(one, 32));
  const { root, steps: levels } = climbed(leaf, BigInt(index), path);
  const first = { title: "The withdrawal's hash", value: hex(leaf), detail: `${proof.amount_micros} micro-dollars to ${proof.recipient}`, holds: true };
  const steps = [first, ...levels, ...(await anchored(proof, root, 2, rootOf))];
  return { steps, holds: steps.every((one) => one.holds) };
}
