/**
 * Transactions on L1, each with its life: asked, sent, mined, or refused. What has been sent is looked for before
 * anything is sent again, so that trying again never pays twice.
 */
import { signal } from "@preact/signals";
import { ApiError } from "./api.js";
import { askL1 } from "./l1.js";
import { signedTransaction } from "./raw.js";

/** @typedef {"asked" | "sent" | "mined" | "refused"} State */

/**
 * @typedef {object} Sent
 * @property {number} id
 * @property {string} title
 * @property {State} state
 * @property {string} hash empty until it is sent
 * @property {string} detail
 */

/**
 * What a contract is asked to do.
 * @typedef {object} Wanted
 * @property {string} title
 * @property {string} to
 * @property {Uint8Array} data
 * @property {number} gas
 * @property {bigint} [value]
 */

/** The newest first. @type {import("@preact/signals").Signal<Sent[]>} */
export const transactions = signal([]);
const MOST_SHOWN = 20;
const LOOK_MS = 700;
const PATIENCE_MS = 600_000;
let nextId = 1;

/** @param {number} id @param {Partial<Sent>} change */
function change(id, change) {
  transactions.value = transactions.value.map((one) => (one.id === id ? { ...one, ...change } : one));
}

/**
 * Has a transaction sent and waits until it is mined; the receipt.
 * @param {import("./session.js").L1Sender} sender
 * @param {Wanted} wanted
 * @returns {Promise<any>}
 */
export async function carriedOut(sender, wanted) {
  const id = nextId++;
  /** @type {Sent} */
  const asked = { id, title: wanted.title, state: "asked", hash: "", detail: "" };
  transactions.value = [asked, ...transactions.value].slice(0, MOST_SHOWN);
  try {
    const hash = await sender.transact(wanted);
    change(id, { state: "sent", hash });
    const receipt = await mined(hash);
    if (receipt.status !== "0x1") throw new ApiError("REVERTED", `The transaction was mined and did nothing: ${hash}`);
    change(id, { state: "mined", detail: `block ${Number(receipt.blockNumber)}` });
    return receipt;
  } catch (error) {
    change(id, { state: "refused", detail: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}

/** The receipt of a transaction, once L1 has it. @param {string} hash */
export async function mined(hash) {
  const end = Date.now() + PATIENCE_MS;
  while (Date.now() < end) {
    try {
      const receipt = await askL1("eth_getTransactionReceipt", [hash]);
      if (receipt !== null) return receipt;
    } catch (error) {
      // Who does not answer now has not said that it was not mined.
      if (!(error instanceof ApiError) || error.name !== "L1_AWAY") throw error;
    }
    await new Promise((go) => setTimeout(go, LOOK_MS));
  }
  throw new ApiError("NOT_MINED", `L1 has not mined ${hash} yet; it may still do so: do not send it again.`);
}

const TIP_WEI = 1_000_000_000n;

/**
 * Sends by a key of this browser; the hash.
 * @param {import("./keys.js").Key} key
 * @param {Wanted} wanted
 */
export async function sentBy(key, { to, data, gas, value = 0n }) {
  const [chain, nonce, head] = await Promise.all([
    askL1("eth_chainId", []),
    askL1("eth_getTransactionCount", [key.address, "latest"]),
    askL1("eth_getBlockByNumber", ["latest", false]),
  ]);
  const maxFeeWei = 2n * BigInt(head.baseFeePerGas) + TIP_WEI;
  const numbers = { chainId: Number(chain), nonce: Number(nonce), tipWei: TIP_WEI, maxFeeWei, gas };
  const { raw, hash } = signedTransaction(key.secret, { ...numbers, to, data, value });
  const said = await askL1("eth_sendRawTransaction", [raw]);
  if (String(said).toLowerCase() !== hash) throw new ApiError("L1_REFUSED", `L1 calls the transaction ${said}, it is ${hash}`);
  return hash;
}
