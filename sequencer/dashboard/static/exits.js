/** Money out of the venue: claims of final withdrawals, and operations that are entered on L1, past the sequencer. */
import { ApiError } from "./api.js";
import { addressWord, hex, joined, unhex, word } from "./bytes.js";
import { call, oneNumber, padded, words } from "./calls.js";
import { askChain, venue } from "./chain.js";
import { api } from "./feeds.js";
import { followedWithdrawal } from "./proof.js";
import { carriedOut } from "./transactions.js";

/** @typedef {import("./session.js").Entered} Entered */

// Measured on the shipped contracts (119k) and doubled: real tokens cost more.
const CLAIM_GAS = 350_000;
const ENTRY_GAS = 250_000;
const PAYLOAD_BYTE_GAS = 64;
const FORCED_WITHDRAW = 17;
const FORCED_CLOSE = 18;
const LEAVE = 19;

/** @param {string} signature @param {...Uint8Array} given */
async function asked(signature, ...given) {
  const { identity } = await venue();
  return String(await askChain("eth_call", [{ to: identity.bridge, data: hex(call(signature, ...given)) }, "latest"]));
}

/** The root that the bridge keeps of a batch. @param {number} batch */
export async function rootOf(batch) {
  return hex(words(await asked("record(uint256)", word(batch)), 7)[2] ?? new Uint8Array());
}

/** Whether L1 has paid a withdrawal. @param {number} index */
export async function isClaimed(index) {
  return oneNumber(await asked("is_claimed(uint256)", word(index))) === 1n;
}

/** When a batch is final, in seconds of L1's clock. @param {number} batch */
export async function finalAt(batch) {
  return Number(oneNumber(await asked("final_at(uint256)", word(batch))));
}

/**
 * Has L1 pay a withdrawal out of a final batch. The bridge pays each once, so that trying again never pays twice.
 * @param {Entered} who
 * @param {number} index
 */
export async function claimed(who, index) {
  const { identity } = await venue();
  if (await isClaimed(index)) throw new ApiError("CLAIMED", `Withdrawal ${index} has been paid already.`);
  const proof = await api.call("catenary_withdrawalProof", { index });
  const { holds, steps } = await followedWithdrawal(index, proof, rootOf);
  if (!holds) throw new ApiError("BAD_PROOF", `The node's proof does not hold: ${steps.find((one) => !one.holds)?.title}.`);
  const head = await askChain("eth_getBlockByNumber", ["latest", false]);
  const left = (await finalAt(proof.batch)) - Number(head.timestamp);
  if (left > 0) throw new ApiError("NOT_YET", `Batch ${proof.batch} is final in ${left} s.`);
  const data = call(
    "claim(uint256,(uint256,bytes32,bytes32,uint256,uint256,uint256,bytes32,uint256,bytes32),uint256,address,uint256,bytes32[32])",
    word(proof.batch),
    ...proof.commitment.map((one) => unhex(one, 32)),
    word(index),
    addressWord(proof.recipient),
    word(proof.amount_micros),
    ...proof.proof.map((one) => unhex(one, 32)),
  );
  return carriedOut(who, { title: `Claim of withdrawal ${index}`, to: identity.bridge, data, gas: CLAIM_GAS });
}

/** @param {Entered} who @param {string} title @param {number} tag @param {Uint8Array} payload */
async function entered(who, title, tag, payload) {
  const { identity, entryFeeWei } = await venue();
  const data = call("enqueue(uint256,bytes)", word(tag), word(64), padded(payload));
  const gas = ENTRY_GAS + PAYLOAD_BYTE_GAS * payload.length;
  return carriedOut(who, { title, to: identity.bridge, data, gas, value: entryFeeWei });
}

/**
 * Pays what may leave, at most so much, to the owner: an entry that no sequencer can leave out.
 * @param {Entered} who @param {number} account @param {bigint} amountMicros
 */
export function forcedWithdrawal(who, account, amountMicros) {
  return entered(who, `Forced withdrawal from account ${account}`, FORCED_WITHDRAW, joined(word(account, 3), word(amountMicros, 8)));
}

/**
 * Closes a position, at no worse price than the limit; 0: at any.
 * @param {Entered} who @param {number} account @param {number} market @param {bigint} lots @param {bigint} limitTicks
 */
export function forcedClose(who, account, market, lots, limitTicks) {
  const payload = joined(word(account, 3), word(market, 1), word(lots, 7), word(limitTicks, 6));
  return entered(who, `Forced close in account ${account}`, FORCED_CLOSE, payload);
}

/** Voids what was signed, closes everything, pays what may leave. @param {Entered} who @param {number} account */
export function left(who, account) {
  return entered(who, `Account ${account} leaves`, LEAVE, word(account, 3));
}
