/**
 * What the sequencer has signed for this browser, kept: its promises and its receipts of soft cancels, each held to the
 * seat on L1. Whether a promise was kept is for `catenary wallet receipts --also FILE`, which reads all bytes of L1.
 *
 * @import {Message} from "./signing.js"
 */
import { signal } from "@preact/signals";
import { ApiError } from "./api.js";
import { checksummed, hex } from "./bytes.js";
import { addressIn, call, words } from "./calls.js";
import { askChain, venue } from "./chain.js";
import { faulty, TAGS, takenLots } from "./promises.js";

/**
 * `line`: as the wallet keeps it, null where it is no evidence; `why`: what is wrong with it; empty: nothing.
 * @typedef {object} Kept
 * @property {string} kind of the operation
 * @property {number} slot
 * @property {number} sequence
 * @property {number} time_ms
 * @property {string} lots that are promised; empty: none
 * @property {string} holder
 * @property {string} why
 * @property {Record<string, any> | null} line
 */

const PREFIX = "catenary.word.";
/** Of one account; the oldest go first. */
export const MOST_KEPT = 200;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
const MOST_TRIES = 12;

/** Counts what was kept, for whoever shows it. */
export const keptCount = signal(0);

/** @param {string} bridge @param {number} account */
const nameOf = (bridge, account) => `${PREFIX}${bridge.toLowerCase()}.${account}`;

/** The newest first. @param {string} bridge @param {number} account @returns {Kept[]} */
export function keptOf(bridge, account) {
  try {
    const found = JSON.parse(localStorage.getItem(nameOf(bridge, account)) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

/** @param {string} bridge @param {number} account @param {Kept} entry */
function keep(bridge, account, entry) {
  try {
    localStorage.setItem(nameOf(bridge, account), JSON.stringify([entry, ...keptOf(bridge, account)].slice(0, MOST_KEPT)));
  } catch {
    // A full or forbidden store forgets; nothing of the order hangs on it.
  }
  keptCount.value += 1;
}

/** Lines that `catenary wallet receipts --also` reads. @param {Kept[]} kept */
export function linesOf(kept) {
  return kept.flatMap((one) => (one.line === null ? [] : [`${JSON.stringify(one.line)}\n`])).reverse().join("");
}

/** From which L1 block on what is sent now can be posted: one that was there before; 0: nobody has said yet. */
let block = 0;
async function renewBlock() {
  block = Number(await askChain("eth_blockNumber", []));
}

/** A block of L1 that is older than whatever is sent from now on. @param {number} first of the venue */
export function blockBefore(first) {
  const now = block || first;
  renewBlock().catch(() => {});
  return now;
}

/** Who holds the seat, by L1's word. */
export async function seatHolder() {
  const { identity } = await venue();
  const answer = await askChain("eth_call", [{ to: identity.bridge, data: hex(call("seat()")) }, "latest"]);
  return addressIn(words(String(answer), 4)[0]);
}

/** @param {string} kind @param {Message} message @param {any} answer the node's @param {number} from L1 block */
export async function keepPromise(kind, message, answer, from) {
  const tag = TAGS[kind];
  if (tag === undefined) return;
  const { identity } = await venue();
  const lots = kind === "order" ? takenLots(answer) : 0n;
  const [account, slot, sequence] = [Number(message["account"]), Number(message["slot"] ?? 0), Number(message["sequence"])];
  const given = answer.acknowledgement;
  const told = { kind, slot, sequence, time_ms: given?.time_ms ?? Date.now(), lots: lots > 0n ? String(lots) : "" };
  const holder = await patiently(seatHolder);
  const why = holder === null ? "L1 does not say who holds the seat" : (faulty(given, { tag, account, slot, sequence, lots }, identity, holder, Date.now()) ?? "");
  keep(identity.bridge, account, { ...told, holder: holder ?? "", why, line: given && holder !== null && why === "" ? lineOf(identity, holder, from, { given }) : null });
}

/** A receipt that was found to be one. @param {import("./receipts.js").ReceiptView} receipt @param {string} holder @param {number} from */
export async function keepReceipt(receipt, holder, from) {
  const { identity } = await venue();
  const told = { kind: "soft cancel", slot: receipt.slot, sequence: receipt.sequence, time_ms: receipt.time_ms, lots: "" };
  keep(identity.bridge, receipt.account, { ...told, holder, why: "", line: lineOf(identity, holder, from, { ...receipt }) });
}

/** @param {import("./trust.js").Identity} identity @param {string} holder @param {number} from @param {Record<string, any>} of */
function lineOf(identity, holder, from, of) {
  return { chain_id: identity.chainId, rollup: checksummed(identity.bridge), holder: checksummed(holder), block: from, ...of };
}

/** What L1 answers, asked again while it is away; null where it stays away. @param {() => Promise<string>} ask */
async function patiently(ask) {
  let pause = FIRST_PAUSE_MS;
  for (let tries = 1; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      if (tries === MOST_TRIES || !(error instanceof ApiError)) return null;
    }
    await new Promise((go) => setTimeout(go, pause));
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
}
