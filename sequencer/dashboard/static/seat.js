/**
 * Whether a signature is the seat's, by L1 alone. L1 may be away, and the seat open: then nobody can say yet, and what
 * was signed is neither evidence nor none. Pure but for what it asks.
 *
 * @import {Ask} from "./trust.js"
 */
import { hex, joined, keccakText, same, unhex } from "./bytes.js";
import { addressIn, call, words } from "./calls.js";

/** What L1 has made of a signer: `holder` once it has held the seat, else `why` it is nobody's word; null: nobody can say. @typedef {{holder: string, why: string} | null} Found */

const OPEN = `0x${"00".repeat(20)}`;
const TAKEN = hex(keccakText("SeatTaken(address,uint256,string)"));

/**
 * Throws where L1 does not answer, or not as the bridge would.
 * @param {Ask} ask
 * @param {string} bridge
 * @param {number} first block of the venue
 * @param {string | null} signer null: what was signed leads to nobody's key
 * @returns {Promise<Found>}
 */
export async function ofSeat(ask, bridge, first, signer) {
  if (signer === null) return { holder: "", why: "nobody's key has signed it" };
  const holder = addressIn(words(String(await ask("eth_call", [{ to: bridge, data: hex(call("seat()")) }, "latest"])), 4)[0]);
  if (same(holder, signer)) return { holder, why: "" };
  const hasTaken = async (/** @type {string} */ who) => {
    const topics = [TAKEN, hex(joined(new Uint8Array(12), unhex(who, 20)))];
    return (await ask("eth_getLogs", [{ address: bridge, topics, fromBlock: `0x${first.toString(16)}`, toBlock: "latest" }])).length > 0;
  };
  // Whoever held it when he signed may have left it since.
  if (await hasTaken(signer)) return { holder: signer, why: "" };
  // A log that does not even show today's holder is not whole.
  if (same(holder, OPEN) || !(await hasTaken(holder))) return null;
  return { holder, why: `it is not signed by the seat, ${holder}, nor by anybody who has held it` };
}
