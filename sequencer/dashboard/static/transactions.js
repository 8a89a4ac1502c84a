/**
 * Transactions on L1, each with its life: asked, sent, mined, confirmed, or refused. What was sent is kept in this
 * browser until L1 has it, and nothing of the same name is sent beside it, so that trying again never pays twice.
 */
import { signal } from "@preact/signals";
import { ApiError } from "./api.js";
import { askChain } from "./chain.js";
import { link } from "./feeds.js";
import { remembered } from "./memory.js";
import { signedTransaction } from "./raw.js";

/** @typedef {"asked" | "sent" | "mined" | "confirmed" | "refused"} State */

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
 * @property {string} title one of a name is under way at a time
 * @property {string} to
 * @property {Uint8Array} data
 * @property {number} gas
 * @property {bigint} [value]
 */

/** The newest first. @type {import("@preact/signals").Signal<Sent[]>} */
export const transactions = signal([]);
/** What L1 may still mine, over a reload of the page. */
const open = remembered("sent", /** @type {{title: string, hash: string}[]} */ ([]));
const MOST_SHOWN = 20;
const LOOK_MS = 700;
const PATIENCE_MS = 600_000;
let nextId = 1;

/** @param {number} id @param {Partial<Sent>} change */
function change(id, change) {
  transactions.value = transactions.peek().map((one) => (one.id === id ? { ...one, ...change } : one));
}

/** @param {string} title @param {State} state @param {string} hash */
function shown(title, state, hash) {
  const id = nextId++;
  transactions.value = [{ id, title, state, hash, detail: "" }, ...transactions.peek()].slice(0, MOST_SHOWN);
  return id;
}

/** @param {string} hash */
function settled(hash) {
  open.value = open.peek().filter((one) => one.hash !== hash);
}

/** No longer waits for a transaction, as where its owner has replaced it in the wallet. @param {Sent} one */
export function forgotten(one) {
  settled(one.hash);
  transactions.value = transactions.peek().filter((each) => each.id !== one.id);
}

/**
 * Has a transaction sent and waits until it is mined; the receipt.
 * @param {import("./session.js").L1Sender} sender
 * @param {Wanted} wanted
 * @returns {Promise<any>}
 */
export async function carriedOut(sender, wanted) {
  const isOpen = transactions.peek().some((one) => one.title === wanted.title && (one.state === "asked" || one.state === "sent"));
  if (isOpen) throw new ApiError("PENDING", `${wanted.title}: an earlier one is under way, and may still be mined.`);
  const id = shown(wanted.title, "asked", "");
  try {
    const hash = await sender.transact(wanted);
    open.value = [...open.peek(), { title: wanted.title, hash }].slice(-MOST_SHOWN);
    change(id, { state: "sent", hash });
    return await followed(id, hash);
  } catch (error) {
    // Who has not been heard in time has not said that it was not mined.
    const isOver = !(error instanceof ApiError && error.name === "NOT_MINED");
    change(id, { ...(isOver ? { state: "refused" } : {}), detail: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}

/** @param {number} id @param {string} hash */
async function followed(id, hash) {
  const receipt = await mined(hash);
  settled(hash);
  if (receipt.status !== "0x1") throw new ApiError("REVERTED", `The transaction was mined and did nothing: ${hash}`);
  const block = Number(receipt.blockNumber);
  change(id, { state: "mined", detail: `block ${block}` });
  confirmed(id, hash, block);
  return receipt;
}

/** Marks it once L1 will not take its block back. @param {number} id @param {string} hash @param {number} block */
async function confirmed(id, hash, block) {
  const end = Date.now() + 2 * PATIENCE_MS;
  while (Date.now() < end) {
    await new Promise((go) => setTimeout(go, 4 * LOOK_MS));
    const final = await askChain("eth_getBlockByNumber", ["finalized", false]).catch(() => null);
    if (final === null || Number(final.number) < block) continue;
    const receipt = await askChain("eth_getTransactionReceipt", [hash]).catch(() => undefined);
    if (receipt === undefined) continue;
    change(id, receipt === null ? { state: "sent", detail: "L1 went back behind its block" } : { state: "confirmed" });
    return;
  }
}

/** The receipt of a transaction, once L1 has it. @param {string} hash */
async function mined(hash) {
  const end = Date.now() + PATIENCE_MS;
  while (Date.now() < end) {
    // No answer is none, whoever is asked: a wallet's node or the venue's.
    const receipt = await askChain("eth_getTransactionReceipt", [hash]).catch(() => null);
    if (receipt !== null) return receipt;
    await new Promise((go) => setTimeout(go, LOOK_MS));
  }
  throw new ApiError("NOT_MINED", `L1 has not mined ${hash} yet; it may still do so: do not send it again.`);
}

/** Looks for what was under way when the page was left. */
function resume() {
  for (const { title, hash } of open.peek()) {
    if (transactions.peek().some((one) => one.hash === hash)) continue;
    const id = shown(title, "sent", hash);
    followed(id, hash).catch((error) => change(id, { detail: error.message }));
  }
}

link.subscribe((now) => {
  if (now === "open") resume();
});

const TIP_WEI = 1_000_000_000n;

/**
 * Sends by a key of this browser; the hash.
 * @param {import("./keys.js").Key} key
 * @param {Wanted} wanted
 */
export async function sentBy(key, { to, data, gas, value = 0n }) {
  const [chain, nonce, head] = await Promise.all([
    askChain("eth_chainId", []),
    askChain("eth_getTransactionCount", [key.address, "latest"]),
    askChain("eth_getBlockByNumber", ["latest", false]),
  ]);
  const maxFeeWei = 2n * BigInt(head.baseFeePerGas) + TIP_WEI;
  const numbers = { chainId: Number(chain), nonce: Number(nonce), tipWei: TIP_WEI, maxFeeWei, gas };
  const { raw, hash } = signedTransaction(key.secret, { ...numbers, to, data, value });
  const said = await askChain("eth_sendRawTransaction", [raw]);
  if (String(said).toLowerCase() !== hash) throw new ApiError("L1_REFUSED", `L1 calls the transaction ${said}, it is ${hash}`);
  return hash;
}
