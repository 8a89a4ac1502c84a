/**
 * Where money is: in the wallet on L1, on its way in, in the account, and on its way out until it is claimed. L1's part
 * is L1's word, by the wallet's own node where there is one.
 */
import { addressWord, hex } from "./bytes.js";
import { call, oneNumber } from "./calls.js";
import { askChain, venue } from "./chain.js";
import { isClaimed } from "./exits.js";
import { api } from "./feeds.js";

/**
 * @typedef {object} Holdings
 * @property {bigint} wei ether in the wallet: what pays for transactions on L1
 * @property {bigint} walletMicros dollars in the wallet
 * @property {bigint} comingMicros deposits that L1 has and the venue has not booked
 * @property {bigint} leavingMicros withdrawals whose batch is not final
 * @property {bigint} claimableMicros withdrawals that L1 pays when it is asked
 */

/** Of an owner's newest withdrawals; older ones were claimed, or stand in the rollup's view. */
const LOOKED_AT = 20;

/** @param {string} owner @returns {Promise<Holdings>} */
export async function holdingsOf(owner) {
  const { token } = await venue();
  const [wei, tokens, coming, leaving] = await Promise.all([
    askChain("eth_getBalance", [owner, "latest"]),
    askChain("eth_call", [{ to: token, data: hex(call("balanceOf(address)", addressWord(owner))) }, "latest"]),
    api.call("catenary_deposits", { owner }),
    api.call("catenary_withdrawals", { recipient: owner }),
  ]);
  const open = await Promise.all(leaving.slice(-LOOKED_AT).map(async (one) => ((await isClaimed(one.index)) ? null : one)));
  /** @param {boolean} isFinal */
  const sum = (isFinal) => open.reduce((all, one) => (one !== null && (one.finality === "final") === isFinal ? all + BigInt(one.amount_micros) : all), 0n);
  return {
    wei: BigInt(wei),
    walletMicros: oneNumber(String(tokens)),
    comingMicros: coming.deposits.reduce((all, one) => all + BigInt(one.amount_micros), 0n),
    leavingMicros: sum(false),
    claimableMicros: sum(true),
  };
}
