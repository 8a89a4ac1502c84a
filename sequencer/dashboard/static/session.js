/**
 * Who signs. A view asks `session` whether it may offer to send, and sends by `send` alone.
 *
 * @import {UnsignedOperation} from "./wire"
 * @import {Kind, Message} from "./signing.js"
 */
import { signal } from "@preact/signals";
import { ApiError, PRIVATE } from "./api.js";
import { hex } from "./bytes.js";
import { AGENT_INDEX, AGENT_SLOTS, agentOf, forgetAgent, freshAgent, keepAgent, signerOfAgent } from "./agents.js";
import { venue } from "./chain.js";
import { delivered } from "./delivery.js";
import { api } from "./feeds.js";
import { broken } from "./receipts.js";
import { digest, signed } from "./signing.js";
import { NOBODY, SLOTS, whole } from "./terms.js";
import { sentBy } from "./transactions.js";
import { listed } from "./trust.js";
import { account, now } from "./venue.js";
import { blockBefore, isOpen, keepPromise, keepReceipt } from "./word.js";

/**
 * Somebody who can sign for an account: a wallet, an agent's key of this browser, or a devnet's burner.
 * @typedef {object} Signer
 * @property {"wallet" | "agent" | "burner"} kind
 * @property {string} address
 * @property {(kind: Kind, message: Message, domain: import("./signing.js").Domain) => Promise<Uint8Array>} sign
 */
/**
 * Somebody who can pay on L1: `transact` sends, and resolves with the hash.
 * @typedef {object} L1Sender
 * @property {(wanted: import("./transactions.js").Wanted) => Promise<string>} transact
 */
/** @typedef {L1Sender & {owner: string, signer: Signer}} Entered */
/** @typedef {Entered & {accounts: number[]}} Session */

/** @type {import("@preact/signals").Signal<Session | null>} */
export const session = signal(null);

/**
 * What stands beside an order, unsigned.
 * @typedef {object} Beside
 * @property {string} [client_id]
 * @property {"cancel_taker" | "cancel_maker" | "decrement"} [self_trade]
 * @property {number} [group]
 * @property {string} [after]
 * @property {string} [replaces]
 */

/** The burner as somebody who may come in. @param {import("./keys.js").Key} key @returns {Entered} */
export function ofBurner(key) {
  return {
    owner: key.address,
    signer: {
      kind: "burner",
      address: key.address,
      sign: async (kind, message, domain) => signed(key.secret, digest(kind, message, domain)),
    },
    transact: (wanted) => sentBy(key, wanted),
  };
}

/** Comes in; of the owner's accounts the one that is looked at stays, else the first. @param {Entered} entered */
export async function enter(entered) {
  const accounts = await api.call("catenary_accounts", { owner: entered.owner });
  session.value = { ...entered, accounts };
  const [first] = accounts;
  if (first !== undefined && (account.value === null || !accounts.includes(account.value))) account.value = first;
}

/** Goes out; what the browser keeps stays where it is. */
export function leave() {
  session.value = null;
}

// One at a time: two operations that are drafted at once would be given the same slot.
/** @type {Promise<any>} */
let before = Promise.resolve();
let lastSequence = 0;
const MOST_SKEW_MS = 60_000;
// What an agent's key may sign.
const FOR_AGENTS = new Set(["order", "cancel", "cancel_all"]);
const UNGRANTED = new Set(["BAD_SIGNATURE", "AGENT_LIMITS"]);
/** Counts grants and dismissals, for whoever shows them. */
export const granted = signal(0);

/**
 * Signs an operation and hands it in. What was not said is filled in, within what the page has shown; what the node
 * fills in otherwise than it may is refused and not signed.
 * @param {UnsignedOperation} operation
 * @param {Beside} [beside]
 * @returns {Promise<any>} the node's answer: OrderResult of an order, RequestResult of anything else
 */
export async function send(operation, beside = {}) {
  const mine = before.then(() => drafted(operation));
  before = mine.catch(() => {});
  const { message, signature, signer } = await mine;
  const of = await venue();
  const from = blockBefore(of.block);
  try {
    const answer = await delivered(operation.kind, message, hex(signature), beside);
    if (isSoft(operation.kind, message)) await requireReceipt(of, message, answer.receipt, from);
    else keepPromise(of, operation.kind, message, answer, from);
    if (typeof answer.account_opened === "number") await renewed();
    return answer;
  } catch (error) {
    if (signer.kind === "agent" && error instanceof ApiError && UNGRANTED.has(error.name)) {
      // Its grant is gone: the owner signs again, and says so when asked.
      forgetAgent(operation.account, (await venue()).identity.bridge);
      granted.value += 1;
    }
    throw error;
  }
}

/** @param {UnsignedOperation} operation */
async function drafted(operation) {
  const who = session.peek();
  if (who === null) throw new ApiError("NOBODY", "Nobody is signed in: connect a wallet first.");
  const found = await venue();
  const kind = /** @type {Kind} */ (operation.kind);
  const signer = signerFor(who, operation, found);
  const known = {
    nowMs: clock(),
    lastSequence,
    slot: kind === "cancel_all" ? 0 : (operation.slot ?? (await freeSlot(operation))),
    postingFeeMicros: found.postingFeeMicros,
    market: kind === "order" ? await marketOf(found, operation.market) : undefined,
    signer: who.owner,
  };
  const message = whole(operation, known);
  lastSequence = Math.max(lastSequence, Number(message["sequence"]));
  return { message, signer, signature: await signer.sign(kind, message, found.identity) };
}

/**
 * The agent's key for what it may do, where there is one; the owner's for all else.
 * @param {Session} who
 * @param {UnsignedOperation} operation
 * @param {import("./trust.js").Venue} found
 */
function signerFor(who, operation, found) {
  if (!FOR_AGENTS.has(operation.kind)) return who.signer;
  const agent = agentOf(operation.account, found.identity.bridge);
  return agent === null ? who.signer : signerOfAgent(agent);
}

/**
 * Lets a fresh key of this browser trade for a day: one signature of the owner's, and no pop-up after it.
 * @param {number} of an account
 */
export async function grantAgent(of) {
  const { identity } = await venue();
  const agent = freshAgent(of, Math.round(now()));
  await send(grant(of, agent.key.address, agent.expiresAtMs));
  // Kept once it is granted: a key that may not trade would be refused with every order.
  keepAgent(of, identity.bridge, agent);
  granted.value += 1;
}

/** Takes the grant back, here and on the venue. @param {number} of an account */
export async function dismissAgent(of) {
  const { identity } = await venue();
  await send(grant(of, NOBODY, 0));
  forgetAgent(of, identity.bridge);
  granted.value += 1;
}

/** @param {number} of @param {string} agent @param {number} until @returns {UnsignedOperation} */
function grant(of, agent, until) {
  const slots = until === 0 ? { first_slot: 0, last_slot: 0 } : { first_slot: AGENT_SLOTS.first, last_slot: AGENT_SLOTS.last };
  return { kind: "set_agent", account: of, agent_index: AGENT_INDEX, agent, agent_expires_at_ms: until, ...slots };
}

/** @param {string} kind @param {Message} message */
function isSoft(kind, message) {
  return (kind === "cancel" || kind === "cancel_all") && message["max_posting_fee_micros"] === 0;
}

/** That a soft cancel was promised by whoever holds the seat. @param {import("./trust.js").Venue} of @param {Message} message @param {any} receipt @param {number} from L1 block */
async function requireReceipt(of, message, receipt, from) {
  const misfit = broken(receipt, message, Date.now());
  const kept = misfit === null ? await keepReceipt(of, receipt, from) : null;
  const why = misfit ?? kept?.why ?? "";
  if (why !== "") throw new ApiError("BROKEN_RECEIPT", `The order is out of the book, and ${why}: until it expires it may still be filled.`);
  if (kept !== null && isOpen(kept)) {
    throw new ApiError("UNCHECKED_RECEIPT", "The order is out of the book. Whether the receipt is the seat's L1 has not said: it is kept, and held to the seat as soon as L1 says.");
  }
}

/** Asks anew which accounts the owner has. */
async function renewed() {
  const who = session.peek();
  if (who !== null) session.value = { ...who, accounts: await api.call("catenary_accounts", { owner: who.owner }) };
}

/** A market as L1 has it, where the node's is the same. @param {import("./trust.js").Venue} found @param {number | null | undefined} index */
async function marketOf(found, index) {
  const said = (await api.call("catenary_markets", {})).find((one) => one.index === index);
  if (said === undefined) throw new ApiError("NO_MARKET", `There is no market ${index}.`);
  return listed(found, said);
}

/** The venue's clock, where this machine's agrees: a node that lies about time would have orders live too long. */
function clock() {
  const time = Math.round(now());
  const apart = Math.abs(time - Date.now());
  if (apart > MOST_SKEW_MS) {
    throw new ApiError("CLOCK", `This machine's clock and the venue's are ${Math.round(apart / 1000)} s apart: nothing is signed until they agree.`);
  }
  return time;
}

/** How the owner's key is shown to a node that says nothing without; access.js says it. @type {(account: number) => Promise<void>} */
let show = async () => {};
/** @param {typeof show} by */
export function showsBy(by) {
  show = by;
}

/** A slot in which nothing of the account stands. @param {UnsignedOperation} operation */
async function freeSlot(operation) {
  const ask = () => api.call("catenary_typedData", { operation });
  const { operation: filled } = await ask().catch(async (error) => {
    if (!(error instanceof ApiError) || error.name !== PRIVATE) throw error;
    await show(operation.account);
    return ask();
  });
  const slot = Number(filled.slot);
  if (!(slot >= SLOTS.first && slot <= SLOTS.last)) throw new ApiError("NO_SLOT", `The node names slot ${filled.slot}.`);
  return slot;
}

/** Whether an account is the session's own. @param {number | null} index */
export function isOwn(index) {
  return index !== null && (session.value?.accounts.includes(index) ?? false);
}
