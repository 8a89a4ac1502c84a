/**
 * What the sequencer has signed for this browser, kept as it came: its promises and its receipts of soft cancels, each
 * held to the seat on L1 as soon as L1 says whose it is. Whether a promise was kept is for `catenary wallet receipts
 * --also FILE`, which reads all bytes of L1.
 *
 * @import {Message} from "./signing.js"
 * @import {Venue} from "./trust.js"
 */
import { signal } from "@preact/signals";
import { checksummed, Malformed } from "./bytes.js";
import { askChain, venue } from "./chain.js";
import { faulty, signerOfPromise, TAGS, takenLots } from "./promises.js";
import { signerOfReceipt } from "./receipts.js";
import { ofSeat } from "./seat.js";

/**
 * `signed`: what the node gave, as `catenary wallet receipts` reads it; null: nothing that could be a word. `block`: from
 * which on it can have been posted. `holder`: of the seat, once L1 has named him as its signer; `why`: what is wrong with
 * it. Neither: L1 has not said.
 * @typedef {object} Kept
 * @property {string} kind of the operation
 * @property {number} slot
 * @property {number} sequence
 * @property {number} time_ms
 * @property {string} lots that are promised; empty: none
 * @property {string} holder
 * @property {string} why
 * @property {number} block
 * @property {Record<string, any> | null} signed
 */

const PREFIX = "catenary.word.";
/** Of one account; the oldest go first. */
export const MOST_KEPT = 200;
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

/** Counts what was kept, for whoever shows it. */
export const keptCount = signal(0);

/** @param {string} bridge @param {number} account */
const nameOf = (bridge, account) => `${PREFIX}${bridge.toLowerCase()}.${account}`;
/** @param {Kept} one */
const keyOf = (one) => `${one.kind} ${one.slot} ${one.sequence}`;

/** The newest first. @param {string} bridge @param {number} account @returns {Kept[]} */
export function keptOf(bridge, account) {
  try {
    const found = JSON.parse(localStorage.getItem(nameOf(bridge, account)) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

/** Keeps an entry, or what has become of it. @param {string} bridge @param {number} account @param {Kept} entry */
function keep(bridge, account, entry) {
  const before = keptOf(bridge, account);
  const at = before.findIndex((one) => keyOf(one) === keyOf(entry));
  try {
    localStorage.setItem(nameOf(bridge, account), JSON.stringify(at < 0 ? [entry, ...before].slice(0, MOST_KEPT) : before.with(at, entry)));
  } catch {
    // A full or forbidden store forgets; nothing of the order hangs on it.
  }
  keptCount.value += 1;
}

/** Whether L1 has still to say whose word it is. @param {Kept} one */
export function isOpen(one) {
  return one.signed !== null && one.holder === "" && one.why === "";
}

/**
 * Lines that `catenary wallet receipts --also` reads, of what L1 has named the signer of.
 * @param {import("./signing.js").Domain} identity
 * @param {Kept[]} kept
 */
export function linesOf(identity, kept) {
  const sure = kept.filter((one) => one.signed !== null && one.why === "" && one.holder !== "");
  const lines = sure.map((one) => ({ chain_id: identity.chainId, rollup: checksummed(identity.bridge), holder: checksummed(one.holder), block: one.block, ...one.signed }));
  return lines.map((line) => `${JSON.stringify(line)}\n`).reverse().join("");
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

/** Keeps what was promised at once, before anybody is asked. @param {Venue} of @param {string} kind @param {Message} message @param {any} answer the node's @param {number} from L1 block */
export function keepPromise(of, kind, message, answer, from) {
  const tag = TAGS[kind];
  if (tag === undefined) return;
  const lots = kind === "order" ? takenLots(answer) : 0n;
  const [account, slot, sequence] = [Number(message["account"]), Number(message["slot"] ?? 0), Number(message["sequence"])];
  const given = answer.acknowledgement;
  const why = faulty(given, { tag, account, slot, sequence, lots }, Date.now()) ?? "";
  const told = { kind, slot, sequence, time_ms: given?.time_ms ?? Date.now(), lots: lots > 0n ? String(lots) : "" };
  keep(of.identity.bridge, account, { ...told, holder: "", why, block: from, signed: given ? { given } : null });
  settleAll(of.identity.bridge, account);
}

/**
 * Keeps a receipt, and gives it as far as L1 says whose it is.
 * @param {Venue} of
 * @param {import("./receipts.js").ReceiptView} receipt
 * @param {number} from L1 block
 * @returns {Promise<Kept>}
 */
export async function keepReceipt(of, receipt, from) {
  const told = { kind: "soft cancel", slot: receipt.slot, sequence: receipt.sequence, time_ms: receipt.time_ms, lots: "" };
  const entry = { ...told, holder: "", why: "", block: from, signed: { ...receipt } };
  keep(of.identity.bridge, receipt.account, entry);
  const found = await settled(of, receipt.account, entry).catch(() => entry);
  if (isOpen(found)) settleAll(of.identity.bridge, receipt.account);
  return found;
}

/** Whose key has signed an entry; null: nobody's. @param {Record<string, any>} signed @param {import("./signing.js").Domain} domain */
function signerOf(signed, domain) {
  try {
    return signed["given"] ? signerOfPromise(signed["given"], domain) : signerOfReceipt(/** @type {any} */ (signed), domain);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return null;
  }
}

/** An entry, once L1 was asked whose word it is. @param {Venue} of @param {number} account @param {Kept} entry @returns {Promise<Kept>} */
async function settled({ identity, block: first }, account, entry) {
  const found = await ofSeat(askChain, identity.bridge, first, signerOf(entry.signed ?? {}, identity));
  if (found === null) return entry;
  const now = { ...entry, holder: found.holder, why: found.why };
  keep(identity.bridge, account, now);
  return now;
}

/** Accounts whose entries are being settled. @type {Set<string>} */
const settling = new Set();

/** Asks L1 until it has said of everything that is kept of an account whose word it is. @param {string} bridge @param {number} account */
export async function settleAll(bridge, account) {
  const name = nameOf(bridge, account);
  if (settling.has(name)) return;
  settling.add(name);
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    try {
      const of = await venue();
      if (of.identity.bridge.toLowerCase() === bridge.toLowerCase()) {
        for (const entry of keptOf(bridge, account).filter(isOpen)) await settled(of, account, entry);
      }
    } catch {
      // L1 is away, or says what the bridge would not.
    }
    if (!keptOf(bridge, account).some(isOpen)) break;
    await new Promise((go) => setTimeout(go, pause));
  }
  settling.delete(name);
}
