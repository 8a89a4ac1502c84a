/**
 * Who signs. A view asks `session` whether it may offer to send, and sends by `send` alone.
 *
 * @import {UnsignedOperation} from "./wire"
 * @import {Kind, Message} from "./signing.js"
 */
import { signal } from "@preact/signals";
import { ApiError } from "./api.js";
import { hex } from "./bytes.js";
import { delivered } from "./delivery.js";
import { api } from "./feeds.js";
import { burner } from "./keys.js";
import { digest, signed } from "./signing.js";
import { MOST_POSTING_FEE_MICROS, SLOTS, whole } from "./terms.js";
import { sentBy } from "./transactions.js";
import { account, askStatus, now, status } from "./venue.js";

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

/** As it was when this browser was last here: a devnet's burner comes in by itself. */
export async function comeBack() {
  const key = burner();
  if (key !== null && session.peek() === null) await enter(ofBurner(key));
}

// One at a time: two operations that are drafted at once would be given the same slot.
/** @type {Promise<any>} */
let before = Promise.resolve();
let lastSequence = 0;

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
  const { message, signature } = await mine;
  return delivered(operation.kind, message, hex(signature), beside);
}

/** @param {UnsignedOperation} operation */
async function drafted(operation) {
  const who = session.peek();
  if (who === null) throw new ApiError("NOBODY", "Nobody is signed in: connect a wallet first.");
  if (status.peek() === null) await askStatus();
  const venue = status.peek();
  if (venue === null) throw new ApiError("AWAY", "The node does not say which venue it is.");
  const domain = { chainId: venue.chain_id, bridge: venue.rollup_address };
  const kind = /** @type {Kind} */ (operation.kind);
  const markets = await api.call("catenary_markets", {});
  const market = markets.find((one) => one.index === operation.market);
  if (kind === "order" && market === undefined) throw new ApiError("NO_MARKET", `There is no market ${operation.market}.`);
  const known = {
    nowMs: Math.round(now()),
    lastSequence,
    slot: operation.slot ?? (kind === "cancel_all" ? 0 : await freeSlot(operation)),
    postingFeeMicros: Math.min((market ?? markets[0])?.posting_fee_micros ?? 0, MOST_POSTING_FEE_MICROS),
    market,
    signer: who.owner,
  };
  const message = whole(operation, known);
  lastSequence = Math.max(lastSequence, Number(message["sequence"]));
  return { message, signature: await who.signer.sign(kind, message, domain) };
}

/** A slot in which nothing of the account stands. @param {UnsignedOperation} operation */
async function freeSlot(operation) {
  const { operation: filled } = await api.call("catenary_typedData", { operation });
  const slot = Number(filled.slot);
  if (!(slot >= SLOTS.first && slot <= SLOTS.last)) throw new ApiError("NO_SLOT", `The node names slot ${filled.slot}.`);
  return slot;
}
